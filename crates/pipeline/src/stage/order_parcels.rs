//! `order_parcels`: the columns of parcel series in the order of an encoder's atlas, by their labels.
use std::path::Path;

use encoder::{ParcelOrder, parcel_order};
use ndarray::Axis;
use scan::Parcel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Artifact,
    parcellate::{SeriesFacts, StoredSeries},
    series::{self, Change},
    work::{Preparation, Work},
};
use crate::{Error, Result, event::Control, media::Media};

/// Into which order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderParcelsConfig {
    /// The atlas whose order it is, as `atlas.id` of the stage parcellate:
    /// `tian50_schaefer400_17networks` and others that encoders read.
    pub atlas: String,
}

const ORDERED: &str = "parcels.json";

impl Work for OrderParcelsConfig {
    fn name(&self) -> &'static str {
        "order_parcels"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::ParcelSeries, Artifact::ParcelSeries)
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for OrderParcelsConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        let labels = names(&series::parcels(media).parcels);
        series::keys(self, &super::said(self), &json!(labels), media)
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let parcels = &series::parcels(media).parcels;
        let order = self.order(&names(parcels))?;
        files::write_json(&dir.join(ORDERED), &ordered(parcels, &order))?;
        let more = |_: usize| Ok(json!(order));
        let cost = |_: usize, facts: &SeriesFacts| (facts.n_frames, 0);
        let work = |_: usize, series: StoredSeries| Ok(columns(series, &order));
        let change = Change { cost: &cost, work: &work };
        series::each_series(self, &super::said(self), &more, media, dir, control, &change)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        series::load(self, super::said(self), media, dir)?;
        let parcels = media.parcels.as_mut().expect("series come from an atlas");
        parcels.parcels = files::read_json(&dir.join(ORDERED))?;
        Ok(())
    }
}

/// What parcels are called, in their order.
pub(crate) fn names(parcels: &[Parcel]) -> Vec<String> {
    parcels.iter().map(|parcel| parcel.name.clone()).collect()
}

/// Parcels in another order.
pub(crate) fn ordered(parcels: &[Parcel], order: &[usize]) -> Vec<Parcel> {
    order.iter().map(|&at| parcels[at].clone()).collect()
}

/// A series whose columns stand in another order.
pub(crate) fn columns(mut series: StoredSeries, order: &[usize]) -> StoredSeries {
    series.values = series.values.select(Axis(1), order);
    let coverage = series.facts.coverage.take();
    series.facts.coverage = coverage.map(|it| order.iter().map(|&at| it[at]).collect());
    series
}

impl OrderParcelsConfig {
    /// For each parcel of the atlas, the one of these labels that it is.
    ///
    /// # Errors
    /// Where the labels do not tell, or are of other parcels.
    pub(crate) fn order(&self, labels: &[String]) -> Result<Vec<usize>> {
        let refuse = |problem: String| Error::StageInput { stage: self.name(), problem };
        match parcel_order(&self.atlas, labels) {
            Ok(ParcelOrder::Same) => Ok((0..labels.len()).collect()),
            Ok(ParcelOrder::Permuted(order)) => Ok(order),
            Ok(ParcelOrder::Unknown) => Err(refuse(format!(
                "the atlas's labels do not tell in which order `{}` has them: name their table \
                 (`atlas.names` of parcellate)",
                self.atlas
            ))),
            Err(other) => Err(refuse(other.to_string())),
        }
    }
}
