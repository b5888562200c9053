//! `optview keys`: the keys of those who may read, added to the file of keys, listed and revoked. A key is shown once, when it is made.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::config::{Expiry, KeysAddConfig, KeysConfig, KeysRevokeConfig};
use crate::credentials::{AddedKey, KeyEntry, NewKey, RevokedKey, add_key, list_keys, revoke_key};
use crate::output;
use crate::terminal::table;

/// A key, as programs read it.
#[derive(Debug, Serialize)]
struct ListedKey {
    id: String,
    name: Option<String>,
    organizations: Vec<String>,
    email: Option<String>,
    expires: Option<String>,
    has_expired: bool,
    /// False if the file has the key itself, which whoever reads the file can use.
    is_hashed: bool,
}

#[derive(Serialize)]
struct AddedKeyOutput {
    key: String,
    #[serde(flatten)]
    listed: ListedKey,
}

#[derive(Serialize)]
struct RevokedKeyOutput {
    revoked: ListedKey,
    lost_comments: Vec<String>,
    left: usize,
}

/// Runs a command under `keys`.
///
/// # Errors
/// Fails if the file cannot be read or changed, or the answer cannot be written.
pub fn run(config: &KeysConfig) -> anyhow::Result<()> {
    match config {
        KeysConfig::Add(config) => add(config),
        KeysConfig::List(config) => {
            let keys: Vec<ListedKey> = list_keys(&config.path)?.iter().map(ListedKey::of).collect();
            match config.json {
                true => output::print_json(&serde_json::to_string(&keys)?)?,
                false => output::print(&list(&keys))?,
            }
            Ok(())
        }
        KeysConfig::Revoke(config) => revoke(config),
    }
}

fn add(config: &KeysAddConfig) -> anyhow::Result<()> {
    let expires_millis = config.expires.map(|expiry| match expiry {
        Expiry::At(millis) => millis,
        // Whole seconds are easier to read.
        Expiry::After(duration) => (Utc::now().timestamp()
            + i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2000))
        .saturating_mul(1000),
    });
    if let Some(expires) = expires_millis.filter(|expires| *expires <= Utc::now().timestamp_millis()) {
        let expires = time_text(expires).unwrap_or_default();
        anyhow::bail!("the key would be refused from {expires} on, which is past: give --expires a time to come");
    }
    let new = NewKey {
        organizations: config.organizations.clone(),
        name: config.name.clone(),
        email: config.email.clone(),
        expires_millis,
    };
    let AddedKey { key, entry } = add_key(&config.file.path, &new)?;
    let listed = ListedKey::of(&entry);
    if config.file.json {
        return Ok(output::print_json(&serde_json::to_string(&AddedKeyOutput { key, listed })?)?);
    }
    let path = config.file.path.display();
    Ok(output::print(&format!(
        "{key}\n\nThis is the key. It is shown this once: {path} has its hash only.\nIt is revoked by `optview keys revoke {} \
         --api-keys {path}`.\n",
        listed.name.as_ref().unwrap_or(&listed.id)
    ))?)
}

/// Writes milliseconds since 1970 as a time; `None` if no calendar has it.
fn time_text(millis: i64) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp_millis(millis)?;
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn revoke(config: &KeysRevokeConfig) -> anyhow::Result<()> {
    let RevokedKey { entry, comments, left } = revoke_key(&config.file.path, &config.key)?;
    let revoked = ListedKey::of(&entry);
    if config.file.json {
        let revoked = RevokedKeyOutput { revoked, lost_comments: comments, left };
        return Ok(output::print_json(&serde_json::to_string(&revoked)?)?);
    }
    let mut text = format!("Revoked {} of {}.\n", config.key, revoked.organizations.join(", "));
    if !comments.is_empty() {
        text += "These comments of the entry went with it:\n";
        comments.iter().for_each(|comment| text += &format!("  {comment}\n"));
    }
    if left == 0 {
        text += "No key is left: nobody may read any more, and `serve` does not start with this file.\n";
    }
    Ok(output::print(&text)?)
}

fn list(keys: &[ListedKey]) -> String {
    let mut rows =
        vec![["ID", "NAME", "ORGANIZATIONS", "EMAIL", "EXPIRES", "KEPT AS"].map(str::to_owned).to_vec()];
    for key in keys {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let expires = match &key.expires {
            Some(expires) if key.has_expired => format!("{expires} (expired)"),
            expires => or_none(expires),
        };
        let kept_as = if key.is_hashed { "hash" } else { "plain text" };
        let organizations = key.organizations.join(", ");
        rows.push(vec![
            key.id.clone(),
            or_none(&key.name),
            organizations,
            or_none(&key.email),
            expires,
            kept_as.to_owned(),
        ]);
    }
    table(rows)
}

impl ListedKey {
    fn of(entry: &KeyEntry) -> ListedKey {
        let (id, principal) = (entry.id(), &entry.key.principal);
        ListedKey {
            name: (principal.id != id).then(|| principal.id.clone()),
            id,
            organizations: principal.organizations.clone(),
            email: principal.email.clone(),
            expires: entry.key.expires_millis.and_then(time_text),
            has_expired: entry.key.has_expired(),
            is_hashed: !entry.is_plain,
        }
    }
}
