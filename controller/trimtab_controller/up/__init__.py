"""`trimtab up`: the local stage and the daemon as children, watched, drawn and summed up."""
