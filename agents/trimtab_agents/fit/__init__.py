"""Finding out from a service's recorded metrics what the simulator must know of it."""
