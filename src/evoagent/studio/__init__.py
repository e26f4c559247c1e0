"""LangGraph Studio: `factory` makes the graphs that `langgraph.json` names, `http` guards its server."""
