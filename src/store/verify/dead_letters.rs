//! The verification of parked jobs and dead letters.

use super::{Step, Verifier};
use crate::codec::stored_record::{self, CorruptValue};
use crate::store::StoreError;
use crate::store::keys::{dead_letter_key, dead_letter_position};

impl Verifier<'_> {
    pub(super) fn parked_jobs(&mut self) -> Step {
        let tree = self.reader.trees.jobs.clone();
        self.each(&tree.clone(), |verifier, key, _| {
            verifier.report.parked_jobs += 1;
            verifier.value("parked job", &String::from_utf8_lossy(key), &tree, key, |value| {
                let again = stored_record::encode_job(&stored_record::decode_job(value)?)?;
                if again == value { Ok(()) } else { Err(odd("parked job", "it is not what its registers give")) }
            })
        })
    }

    pub(super) fn dead_letters(&mut self) -> Step {
        let tree = self.reader.trees.dead_letters.clone();
        self.each(&tree.clone(), |verifier, key, _| {
            verifier.report.dead_letters += 1;
            verifier.value("dead letter", &place(key), &tree, key, |value| {
                let dead_letter = stored_record::decode_dead_letter(value)?;
                let is_its = dead_letter_key(dead_letter.position) == **key;
                if is_its { Ok(()) } else { Err(odd("dead letter", "it is of another position than its key")) }
            })
        })
    }
}

/// Returns the position that the key of a dead letter stands for, as text.
fn place(key: &[u8]) -> String {
    dead_letter_position(key).map_or_else(|| format!("{key:?}"), |position| position.to_string())
}

fn odd(what: &'static str, reason: &str) -> StoreError {
    CorruptValue { what, reason: reason.to_owned() }.into()
}
