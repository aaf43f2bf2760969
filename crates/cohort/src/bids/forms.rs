//! Files that are forms of one recording, in one space or another.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    entity::{Entities, Entity},
    error::{Error, Result},
    query::Query,
    reason::Reason,
    recording::Recording,
    select::{ABSENT, Wanted, chosen},
};

/// A file of a recording, by what its name says.
pub(super) struct Form {
    pub(super) entities: Entities,
    /// With what lies beside it; or why it cannot be taken.
    pub(super) found: Result<Recording, Reason>,
}

/// Every form in which a recording is there.
pub(super) type Candidates = BTreeMap<Entities, Vec<Form>>;

/// Of each recording the one form that is wanted, broken or not; several are refused with what
/// tells them apart.
pub(super) fn one_form_each(
    dir: &Path,
    candidates: Candidates,
    wanted: &Wanted,
    query: Option<&Query>,
) -> Result<Vec<Form>> {
    let mut each = Vec::new();
    let mut differing: BTreeMap<Entity, BTreeSet<String>> = BTreeMap::new();
    let mut n = 0;
    for mut forms in candidates.into_values() {
        if forms.iter().any(|form| chosen(&form.entities, wanted)) {
            forms.retain(|form| chosen(&form.entities, wanted));
            // `echo is missing` chooses a form as `entities: { echo: [none] }` does
            let holds = |form: &Form| query.is_none_or(|query| query.may_hold(&form.entities));
            if forms.iter().any(holds) {
                forms.retain(holds);
            } else {
                forms.truncate(1);
            }
        } else {
            // one of them stands for all that are not wanted
            forms.truncate(1);
        }
        if forms.len() > 1 {
            n += 1;
            for entity in forms.iter().flat_map(|form| form.entities.iter().map(|(it, _)| it)) {
                let label = |form: &Form| form.entities.get(entity).unwrap_or(ABSENT).to_owned();
                let labels: BTreeSet<String> = forms.iter().map(label).collect();
                if labels.len() > 1 {
                    differing.entry(entity).or_default().extend(labels);
                }
            }
        }
        each.append(&mut forms);
    }
    if n == 0 {
        return Ok(each);
    }
    let choice = |(entity, labels): (Entity, BTreeSet<String>)| {
        format!("{}: {}", entity.name(), labels.into_iter().collect::<Vec<_>>().join(" or "))
    };
    let mut choices: Vec<String> = differing.into_iter().map(choice).collect();
    if choices.is_empty() {
        choices.push("`extension`: two files differ only after their point".to_owned());
    }
    Err(Error::Ambiguous { path: dir.to_path_buf(), n, choices })
}
