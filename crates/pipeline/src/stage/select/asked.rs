//! A query over what was measured of recordings.
use ::cohort::{Labels, Query, QueryError, Reason, Recording, Value as Label};
use preprocess::Measured;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which recordings the stages below go on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectConfig {
    /// A query in the language of `where` in the section `cohort`, over what was measured (the columns of
    /// `quality.tsv`), labels and entities: `mean_fd < 0.3 and coverage >= 0.9 and n_frames >= 100`. A label
    /// that is called as something measured has the prefix `label_`.
    #[serde(rename = "where")]
    pub query: String,
}

impl SelectConfig {
    pub(super) fn parsed(&self) -> Result<Query, QueryError> {
        Query::parse(&self.query)
    }

    /// Refuses a query for what will not be known of any of the recordings: voxels have no share of a parcel.
    pub(crate) fn can_be_asked(
        &self,
        recordings: &[Recording],
        reads_parcels: bool,
    ) -> Result<(), QueryError> {
        let as_if_measured = |recording: &Recording| {
            let values = Measured::QUANTITIES.map(|quantity| {
                let known = (reads_parcels || !quantity.of_parcels)
                    && (recording.confounds.is_some() || !quantity.of_motion);
                known.then_some(0.0)
            });
            with_measured(recording, &values)
        };
        self.parsed()?.check(&recordings.iter().map(as_if_measured).collect::<Vec<_>>())
    }
}

/// The recording as the query sees it.
pub(super) fn with_measured(recording: &Recording, values: &[Option<f64>]) -> Recording {
    let mut recording = recording.clone();
    recording.labels = labels_with(&recording.labels, values);
    // as measured, not as the header says it
    recording.t_r = None;
    recording
}

/// Labels with what was measured, which goes before a label of the same name: that has the prefix `label_` then.
pub(crate) fn labels_with(labels: &Labels, values: &[Option<f64>]) -> Labels {
    let mut labels = labels.clone();
    for (quantity, value) in Measured::QUANTITIES.iter().zip(values) {
        if let Some(label) = labels.remove(quantity.name) {
            let mut name = format!("label_{}", quantity.name);
            while labels.contains_key(&name) {
                name = format!("label_{name}");
            }
            labels.insert(name, label);
        }
        if let Some(value) = value {
            labels.insert(quantity.name.to_owned(), Label::Number(*value));
        }
    }
    labels
}

/// The reason with what was measured of the columns that the query asks for.
pub(super) fn said(reason: Reason, query: &Query, measured: &Measured) -> Reason {
    let Reason::Query = reason else { return reason };
    let columns = query.columns();
    let values = Measured::QUANTITIES.iter().zip(measured.values());
    let asked = values.filter(|(quantity, _)| columns.contains(&quantity.name));
    let found = asked.map(|(quantity, value)| match value {
        Some(value) => format!("{} is {}", quantity.name, (1e4 * value).round() / 1e4),
        None => format!("{} is not known", quantity.name),
    });
    match found.collect::<Vec<_>>().join(", ") {
        found if found.is_empty() => reason,
        found => Reason::Unselected { found },
    }
}
