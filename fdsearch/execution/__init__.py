"""Runs jobs in worker processes that may die without taking the study with them; knows neither Optuna nor folds."""
