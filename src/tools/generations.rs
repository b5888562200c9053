//! `optview generations`: what there is in the data directory, the live one and those beside it.

use serde::{Deserialize, Serialize};

use super::{Access, Outcome};
use crate::store::{self, Listed, MissingHistory, PartitionPosition};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its directory's name; one that was moved aside has a suffix.
    pub generation: String,
    pub live: bool,
    /// It is live, and another version's: it is shown as it was left.
    #[serde(default)]
    pub frozen: bool,
    /// Of its fold; `None` where it is not known.
    pub format: Option<u8>,
    /// How many views readers see, or saw when it was closed; `None` where a kill left that unknown.
    pub views: Option<u64>,
    /// On disk.
    pub bytes: u64,
    /// RFC 3339; `None` where it is not known.
    pub created_at: Option<String>,
    /// How far it is built, by its last checkpoint; `None` where a kill left that unknown.
    pub positions: Option<Vec<PartitionPosition>>,
    /// Records that it is built without, and when somebody accepted that.
    #[serde(default)]
    pub missing_history: Vec<MissingHistory>,
    /// Why it cannot be used.
    pub damage: Option<String>,
}

pub fn list(access: &Access) -> anyhow::Result<Outcome> {
    let listed = store::list(&access.data_dir)?;
    let generations: anyhow::Result<Vec<Generation>> =
        listed.into_iter().map(|listed| generation(access, listed)).collect();
    Outcome::new(&generations?)
}

fn generation(access: &Access, listed: Listed) -> anyhow::Result<Generation> {
    let Listed { name, live, damage, bytes, about, path: _ } = listed;
    let mut generation = Generation {
        generation: name,
        live,
        frozen: false,
        format: about.format,
        views: about.closed.as_ref().map(|closed| closed.views),
        bytes,
        created_at: about.created_at,
        positions: about.closed.map(|closed| closed.positions),
        missing_history: about.missing_history,
        damage,
    };
    if live {
        match &access.reader {
            Ok(reader) => {
                generation.frozen = reader.is_frozen();
                generation.format = reader.frozen_format().or(generation.format);
                generation.views = Some(reader.views());
                generation.positions = Some(PartitionPosition::all(&reader.checkpoint()?));
                generation.missing_history = reader.missing_history()?;
            }
            Err(error) => generation.damage = Some(error.to_string()),
        }
    }
    Ok(generation)
}
