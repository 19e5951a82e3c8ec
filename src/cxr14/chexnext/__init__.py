"""CheXNeXt (Rajpurkar et al. 2018): relabel with an ensemble, retrain, average."""
