"""The judge: every policy on the same arrivals, between the calibrated rule and the bound."""
