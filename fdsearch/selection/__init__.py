"""From finished trials to one candidate: cross-validation, honest scores, calibration and the pass threshold."""
