"""The web UI: Streamlit pages over the ChatchatClient."""
