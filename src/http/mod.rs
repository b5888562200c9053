//! The read endpoint.
