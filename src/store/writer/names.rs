//! What the topics are called that a generation is built from: noted once, so that it is never fed from others.

use super::Writer;
use crate::codec::stored_record;
use crate::store::StoreError;
use crate::store::keys::TOPICS;

impl Writer {
    /// Notes what the topics are called, in the order of `Topic::ALL`, where that is not known yet.
    pub fn note_topics(&self, names: &[String; 3]) -> Result<(), StoreError> {
        if self.reader().topics()?.is_none() {
            self.trees.meta.insert(TOPICS, stored_record::encode(names, "topics' names")?)?;
        }
        Ok(())
    }
}
