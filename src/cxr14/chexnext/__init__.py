"""CheXNeXt (Rajpurkar et al. 2018): relabel by an ensemble, train anew, average."""
