"""One self-contained HTML page from plain tables; knows neither studies nor the registry."""
