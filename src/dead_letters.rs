//! The dead letters of a store as operators see them: chosen by what they have in common, listed, and shown in full. It reads, and
//! decides nothing; what is done about them, the projector does.

mod entry;
mod groups;
mod hex_dump;
mod selection;

pub use entry::{DeadLetterEntry, DeadLetterPage, PageRequest, page, parse_id};
pub use groups::{DeadLetterGroup, LetterList, list};
pub use hex_dump::{Excerpt, excerpt};
pub use selection::{LetterSelection, SelectionError, each_selected, position_of};
