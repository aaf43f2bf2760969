//! What the cohort says of the rows of an output table: fold, split, labels.
use std::collections::BTreeSet;

use ::cohort::{Labels, Value as Label};
use preprocess::Recording;
use scan::Split;
use serde_json::{Map, Value, json};
use tables::{Column, Table};

use crate::{Result, media::Media};

/// Fold, splits and labels of the scans of a run.
pub(super) struct CohortColumns<'a> {
    repeat: Option<usize>,
    fold: Option<usize>,
    /// One a scan; `None` where its windows are in several.
    splits: Vec<Option<Split>>,
    /// One a scan; none where the cohort has no labels.
    labels: Vec<&'a Labels>,
}

impl<'a> CohortColumns<'a> {
    pub(super) fn of(media: &Media<'a>) -> Self {
        let n_scans = media.scans().len();
        let splits = (0..n_scans).map(|idx| media.split_of(idx)).collect();
        let (repeat, fold) = (media.run.repeat, media.run.fold);
        Self { repeat, fold, splits, labels: media.labels() }
    }

    /// Everything that decides the columns.
    pub(super) fn decides(&self) -> serde_json::Value {
        let mut decides =
            json!({ "fold": self.fold, "splits": self.splits, "labels": self.labels });
        if let Some(repeat) = self.repeat {
            decides["repeat"] = json!(repeat);
        }
        decides
    }

    /// A table with a row for each of `scans`: whose it is, fold, split and labels, then `columns`.
    pub(super) fn of_recordings(
        &self,
        media: &Media<'_>,
        scans: &[usize],
        columns: Vec<(String, Column)>,
    ) -> Result<Table> {
        let text = |of: &dyn Fn(&Recording) -> Option<String>| {
            Column::Text(scans.iter().map(|&idx| of(&media.scans()[idx])).collect())
        };
        let who = [
            ("participant_id", text(&|it| Some(it.subject.clone()))),
            ("session_id", text(&|it| it.session.clone())),
            ("scan", text(&|it| Some(it.name.clone()))),
        ];
        let groups: Vec<Vec<usize>> = scans.iter().map(|&idx| vec![idx]).collect();
        let taken = who.iter().map(|(name, _)| *name);
        let taken: Vec<&str> = taken.chain(columns.iter().map(|(name, _)| name.as_str())).collect();
        let said = self.columns(&groups, &taken);
        let who = who.map(|(name, column)| (name.to_owned(), column));
        Ok(Table::new(who.into_iter().chain(said).chain(columns))?)
    }

    /// The columns of a table with a row for each group of scans: fold and split where the cohort is
    /// divided, then every label. A group has a value that all its scans share. A label that is called as a
    /// column of `taken` gets the prefix `label_`.
    pub(super) fn columns(&self, groups: &[Vec<usize>], taken: &[&str]) -> Vec<(String, Column)> {
        let mut columns = Vec::new();
        for (name, number) in [("repeat", self.repeat), ("fold", self.fold)] {
            columns.extend(number.map(|number| {
                (name.to_owned(), Column::Integer(vec![Some(number as i64); groups.len()]))
            }));
        }
        if self.splits.iter().any(Option::is_some) {
            let split = |group: &Vec<usize>| {
                shared(group.iter().map(|&idx| self.splits[idx])).map(|split| split.to_string())
            };
            columns.push(("split".to_owned(), Column::Text(groups.iter().map(split).collect())));
        }
        let names: BTreeSet<&String> =
            self.labels.iter().flat_map(|labels| labels.keys()).collect();
        for name in names {
            let value =
                |group: &Vec<usize>| shared(group.iter().map(|&idx| self.labels[idx].get(name)));
            let of_all: Vec<&Label> = self.labels.iter().filter_map(|it| it.get(name)).collect();
            let column = typed(groups.iter().map(value).collect(), &of_all);
            let mut called = name.clone();
            while taken.contains(&called.as_str()) || columns.iter().any(|(it, _)| *it == called) {
                called = format!("label_{called}");
            }
            columns.push((called, column));
        }
        columns
    }
}

/// What the columns of a table hold that say whose a row is and where it stands; labels are those of the
/// cohort.
pub(super) fn described(table: &Table) -> Map<String, Value> {
    let known = [
        ("participant_id", "Label of the person, without sub-"),
        ("session_id", "Label of the visit, without ses-"),
        ("scan", "Name of the recording, as in status.tsv"),
        ("repeat", "The drawing of the folds, from 1"),
        ("fold", "The fold that is tested, from 1"),
        ("split", "What the run does with the recording: train, validation or test"),
    ];
    let described = |name: &str| {
        let known = known.iter().find(|(it, _)| *it == name).map(|(_, said)| *said);
        json!({ "Description": known.unwrap_or("Label of the cohort") })
    };
    table.names().map(|name| (name.to_owned(), described(name))).collect()
}

/// The value of all.
fn shared<T: PartialEq>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values.all(|value| value.as_ref() == Some(&first)).then_some(first)
}

/// A column of the narrowest kind that holds every value of the cohort.
fn typed(values: Vec<Option<&Label>>, of_all: &[&Label]) -> Column {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let all = |fits: fn(&Label) -> bool| of_all.iter().all(|value| fits(value));
    let number = |value: &Label| match value {
        Label::Number(number) => Some(*number),
        _ => None,
    };
    if all(|value| matches!(value, Label::Flag(_))) {
        let flag = |value: &Label| matches!(value, Label::Flag(true));
        Column::Flag(values.into_iter().map(|value| value.map(flag)).collect())
    } else if all(|it| matches!(it, Label::Number(it) if it.fract() == 0.0 && it.abs() < EXACT)) {
        Column::Integer(values.into_iter().map(|it| Some(number(it?)? as i64)).collect())
    } else if all(|value| matches!(value, Label::Number(_))) {
        Column::Number(values.into_iter().map(|it| number(it?)).collect())
    } else {
        Column::Text(values.into_iter().map(|value| value.map(Label::in_words)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_fold_split_and_what_all_runs_of_a_person_share() {
        let labels = |age: f64, site: &str, phq9: Option<f64>| {
            let phq9 = phq9.map(|it| ("phq9".to_owned(), Label::Number(it)));
            let more = [
                ("age".to_owned(), Label::Number(age)),
                ("split".to_owned(), Label::Text("fixed".into())),
                ("site".to_owned(), Label::Text(site.into())),
            ];
            more.into_iter().chain(phq9).collect::<Labels>()
        };
        let all = [labels(71.0, "A", Some(3.5)), labels(71.0, "B", None), labels(20.0, "B", None)];
        let of = CohortColumns {
            repeat: Some(3),
            fold: Some(2),
            splits: vec![Some(Split::Train), Some(Split::Train), Some(Split::Test)],
            labels: all.iter().collect(),
        };
        let columns = of.columns(&[vec![0, 1], vec![2]], &["age"]);
        let text = |a: Option<&str>, b: Option<&str>| {
            Column::Text([a, b].map(|it| it.map(str::to_owned)).to_vec())
        };
        let expected = [
            ("repeat", Column::Integer(vec![Some(3); 2])),
            ("fold", Column::Integer(vec![Some(2); 2])),
            ("split", text(Some("train"), Some("test"))),
            ("label_age", Column::Integer(vec![Some(71), Some(20)])),
            ("phq9", Column::Number(vec![None, None])),
            ("site", text(None, Some("B"))),
            ("label_split", text(Some("fixed"), Some("fixed"))),
        ];
        assert_eq!(columns, expected.map(|(name, column)| (name.to_owned(), column)));
    }
}
