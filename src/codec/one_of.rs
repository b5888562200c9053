//! A protobuf `oneof` in JSON: the mapping writes it as fields of which exactly one must be set.

use super::{DecodeError, EVENT_FIELD};

/// Collects exactly one of a message's alternative events.
pub struct OneOf<T> {
    names: &'static [&'static str],
    value: Option<T>,
}

impl<T> OneOf<T> {
    pub fn new(names: &'static [&'static str]) -> OneOf<T> {
        OneOf { names, value: None }
    }

    pub fn set(&mut self, value: T) -> Result<(), DecodeError> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => {
                Err(DecodeError::field(EVENT_FIELD, format!("more than one of {} is set", self.names.join(", "))))
            }
        }
    }

    pub fn get(self) -> Result<T, DecodeError> {
        self.value
            .ok_or_else(|| DecodeError::field(EVENT_FIELD, format!("none of {} is set", self.names.join(", "))))
    }
}
