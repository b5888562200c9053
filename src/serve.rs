//! `optview serve`: the projector and the read endpoint.
