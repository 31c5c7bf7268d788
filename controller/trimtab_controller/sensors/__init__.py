"""Ways to see: each sensor turns one data plane's metrics into signals with event times."""
