//! The only module that knows sled.

pub mod reader;

pub use reader::{ListQuery, Page, Reader, Response};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store failed: {0}")]
    Sled(#[from] sled::Error),
}
