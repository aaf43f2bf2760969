//! `sub-…/sub-…_sessions.tsv`: what BIDS says of each visit of one person, a file a person.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use super::{LabelTable, column_of, label_of, missing_words};
use crate::{
    entity::{Entities, Entity},
    error::{Error, Result},
    spelling::label_from,
    value::Value,
};

/// Visits of people, with what their tables say of each.
#[derive(Default)]
pub(crate) struct Sessions {
    about: Vec<Option<Entities>>,
    columns: BTreeMap<String, Vec<Option<Value>>>,
}

impl Sessions {
    /// Adds the table of a subject, which must have a column `session_id`.
    pub(crate) fn add(&mut self, path: &Path, subject: &str) -> Result<()> {
        let table = tables::read_with(path, &missing_words(path))?;
        let role = "session";
        let Some(id) = column_of(path, &table, role, &["session_id"], false)? else {
            let (path, allowed) = (path.to_path_buf(), vec!["session_id".to_owned()]);
            return Err(Error::NoColumn { path, role, allowed, settable: false });
        };
        let key = table.column(id).expect("it was found");
        for row in 0..table.n_rows() {
            let session = label_of(key.cell(row), Entity::Session);
            self.about.push(session.as_deref().and_then(label_from).map(|session| {
                let mut about = Entities::default();
                about.add(Entity::Subject, subject);
                about.add(Entity::Session, &session);
                about
            }));
        }
        let n_before = self.about.len() - table.n_rows();
        for (name, column) in table.columns().iter().filter(|(name, _)| name != id) {
            let values = self.columns.entry(name.clone()).or_default();
            values.resize(n_before, None);
            values.extend(Value::of_column(column));
        }
        Ok(())
    }

    /// All of them as one table, which no pipeline names.
    pub(crate) fn into_table(mut self, dir: &Path) -> Option<LabelTable> {
        let mut rows: HashMap<Entities, Vec<usize>> = HashMap::new();
        for (row, about) in self.about.iter().enumerate() {
            if let Some(about) = about {
                rows.entry(about.clone()).or_default().push(row);
            }
        }
        self.columns.values_mut().for_each(|values| values.resize(self.about.len(), None));
        (!rows.is_empty()).then(|| LabelTable {
            path: dir.join("sub-…/sub-…_sessions.tsv"),
            columns: self.columns.into_iter().collect(),
            keys: vec![Entity::Subject, Entity::Session],
            said_by: vec![(Entity::Session, "session_id".to_owned())],
            rows,
            about: self.about,
            is_named: false,
            first_line: 2,
        })
    }
}
