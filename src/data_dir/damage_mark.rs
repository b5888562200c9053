//! Generations that are damaged: marked while they are in use, and moved aside at the next start. Only what is proven damage
//! comes here (`OpenError::is_damage` and `StoreError::is_damage` of the store).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{DataDirError, is_there};

/// Makes the next start build a new generation: called when damage shows while running.
pub fn condemn(generation: &Path, why: &str) -> Result<(), DataDirError> {
    let mark = generation.join(CONDEMNED);
    fs::write(&mark, why).map_err(DataDirError::io("write", &mark))
}

const CONDEMNED: &str = "CONDEMNED";

/// A file in a generation that was moved aside, with the reason.
const DAMAGE: &str = "DAMAGE";

/// Returns the reason why the next start is to build a new generation in the place of this one, if it is.
///
/// # Errors
/// Fails if the mark cannot be read, since the generation may then not be used.
pub fn condemnation(generation: &Path) -> Result<Option<String>, DataDirError> {
    let mark = generation.join(CONDEMNED);
    match fs::read_to_string(&mark) {
        Ok(why) => Ok(Some(why)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataDirError::io("read", &mark)(error)),
    }
}

/// Returns the reason why a generation cannot be used, if it was noted.
pub fn damage_noted(generation: &Path, name: &str) -> Option<String> {
    let noted = |file: &str| match fs::read_to_string(generation.join(file)) {
        Ok(why) => Some(why),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(format!("{file} cannot be read: {error}")),
    };
    noted(DAMAGE).or_else(|| noted(CONDEMNED)).or_else(|| name.contains('.').then(|| "not noted".to_owned()))
}

/// Moves a damaged generation out of its place. Gives where it is now; `None` where there was nothing.
pub fn move_aside(path: &Path, damage: &str) -> Result<Option<PathBuf>, DataDirError> {
    if !is_there(path)? {
        return Ok(None);
    }
    let mut number = 1;
    let aside = loop {
        let aside = path.with_extension(format!("damaged-{number}"));
        if !is_there(&aside)? {
            break aside;
        }
        number += 1;
    };
    fs::rename(path, &aside).map_err(DataDirError::io("move aside", path))?;
    // For who looks at it later; the log has it too.
    let _ = fs::write(aside.join(DAMAGE), damage);
    Ok(Some(aside))
}
