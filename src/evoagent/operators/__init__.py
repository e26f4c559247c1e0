"""evoagent.operators"""
