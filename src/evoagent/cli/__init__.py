"""evoagent.cli"""
