//! The errors of this process, as a publisher reports them.

use crate::source::views_topic::ViewsTopicError;

/// An error of this process's store or files. If the store is to blame, its projector ends the process.
pub fn local(error: impl std::fmt::Display) -> ViewsTopicError {
    ViewsTopicError::Unavailable(error.to_string())
}
