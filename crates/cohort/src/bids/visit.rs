//! Folders `sub-…_ses-…`, of which C-PAC makes one for each visit.

use std::path::Path;

use super::{Walk, list_folder};
use crate::{
    entity::{Entities, Entity, is_label},
    folder::Folder,
    reason::Reason,
};

/// What stands between subject and session.
const BETWEEN: &str = "_ses-";

pub(super) fn is_visit(name: &str) -> bool {
    name.contains(BETWEEN)
}

impl Walk<'_> {
    /// The scans of such a folder.
    pub(super) fn visit(
        &mut self,
        top: &Folder,
        path: &Path,
        name: &str,
    ) -> Result<(), (String, Reason)> {
        let what = "subject";
        let (sub, _) = name.split_once(BETWEEN).expect("it was found");
        let subject = sub.strip_prefix("sub-").filter(|it| is_label(it));
        let subject =
            subject.ok_or_else(|| ("a folder sub-…".to_owned(), Reason::Label { what }))?;
        let session = self.below(path, name, &format!("{sub}{BETWEEN}"), "session")?;
        let mut who = Entities::default();
        who.add(Entity::Subject, subject);
        who.add(Entity::Session, &session);
        let listed = list_folder(path, &who.to_string())?;
        let outcome = self.functional(&[top, &listed], &path.join("func"), &who);
        if let Err((name, reason)) = outcome {
            self.leave_out(&who, name, reason);
        }
        Ok(())
    }
}
