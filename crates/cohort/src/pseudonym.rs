//! Labels of people that say nothing about them: hashes under a salt that only the user has.

use std::{collections::BTreeSet, path::Path};

use crate::{Cohort, Entity, Recording};

/// The fewest bytes of a salt: with fewer, the labels of a cohort could be found by trying.
const FEWEST: usize = 16;

/// The most bytes of a file that holds a salt.
const MOST: u64 = 4096;

/// Hexadecimal digits of a hashed label: 64 bits, so that two people of a cohort of any size differ.
const DIGITS: usize = 16;

/// Gives each person the first 16 hexadecimal digits of HMAC-SHA256 (RFC 2104) of the label, with the salt
/// as the key. The same salt gives the same person the same label in every run.
#[derive(Clone)]
pub struct Pseudonyms(Vec<u8>);

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// By the salt in a file, without white space around it.
    ///
    /// # Errors
    /// Where it cannot be read, or has fewer than 16 bytes; a sentence without the path.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = scan::read_up_to(path, MOST).map_err(|error| error.to_string())?;
        let salt = bytes.trim_ascii();
        let found = salt.len();
        if found < FEWEST {
            return Err(format!(
                "has {found} bytes, expected a salt of at least {FEWEST}, for example 32 random digits"
            ));
        }
        Ok(Self(salt.to_owned()))
    }

    /// The label of a person in a run.
    pub fn of(&self, label: &str) -> String {
        let mut digits = files::hmac_sha256(&self.0, label.as_bytes());
        digits.truncate(DIGITS);
        digits
    }

    /// What tells this salt from another one, and not what it is.
    pub fn id(&self) -> String {
        self.of("which salt")
    }

    /// `sub-X_ses-1_task-rest`, or `a file of sub-X`, with the label of each person replaced; what names nobody
    /// stays.
    pub fn of_name(&self, name: &str) -> String {
        let mut parts = name.split("sub-");
        let mut hashed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_of_label = |c: char| c.is_alphanumeric() || c == '+';
            let (label, after) =
                part.split_at(part.find(|c| !is_of_label(c)).unwrap_or(part.len()));
            hashed = format!("{hashed}sub-{}{after}", self.of(label));
        }
        hashed
    }
}

impl Cohort {
    /// Gives everybody a hashed label, and recordings the order of their new names: the old one would say who is
    /// who. The result has for each recording the place where it was.
    ///
    /// # Errors
    /// Where two people would get one label.
    pub fn hash_ids(&mut self, pseudonyms: &Pseudonyms) -> Result<Vec<usize>, String> {
        let n_people = self.n_subjects();
        for recording in &mut self.recordings {
            let label = pseudonyms.of(recording.subject());
            recording.entities.replace(Entity::Subject, &label);
        }
        let hashed: BTreeSet<&str> =
            self.recordings.iter().map(crate::Recording::subject).collect();
        if hashed.len() < n_people {
            return Err("gives two people one label, expected another salt".to_owned());
        }
        for excluded in &mut self.excluded {
            excluded.name = pseudonyms.of_name(&excluded.name);
        }
        self.excluded.sort_by(|a, b| a.name.cmp(&b.name));
        let mut placed: Vec<(usize, Recording)> =
            std::mem::take(&mut self.recordings).into_iter().enumerate().collect();
        placed.sort_by(|(_, a), (_, b)| a.entities.cmp(&b.entities));
        let (places, recordings) = placed.into_iter().unzip();
        self.recordings = recordings;
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::write;

    /// Python's `hmac.new(b"0123456789abcdef", b"01", "sha256").hexdigest()[:16]`.
    const OF_01: &str = "f7b3c32b961619ea";

    #[test]
    fn labels_are_those_of_hmac() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("salt");
        write(&path, " 0123456789abcdef\n");
        let pseudonyms = Pseudonyms::read(&path).unwrap();
        assert_eq!(pseudonyms.of("01"), OF_01);
        assert_eq!(pseudonyms.of_name("sub-01_task-rest"), format!("sub-{OF_01}_task-rest"));
        assert_eq!(pseudonyms.of_name("sub-01"), format!("sub-{OF_01}"));
        assert_eq!(pseudonyms.of_name("row 7"), "row 7");
        assert_eq!(pseudonyms.of_name("a file of sub-01"), format!("a file of sub-{OF_01}"));
        write(&path, "0123456789abcde\n");
        let said = Pseudonyms::read(&path).unwrap_err();
        assert!(said.starts_with("has 15 bytes, expected a salt of at least 16"), "{said}");
        assert!(Pseudonyms::read(&dir.path().join("none")).is_err());
    }
}
