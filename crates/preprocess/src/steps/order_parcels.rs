//! `order_parcels`: the columns of parcel series in the order of an encoder's atlas, by their labels.
use std::path::{Path, PathBuf};

use encoder::{InputSpace, ParcelOrder, parcel_order};
use ndarray::Axis;
use scan::Parcel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::said;
use crate::{
    AboutSeries, Data, Error, Fitted, Given, Made, Planned, Recording, Result, Step, StepId,
    StoredSeries, Training, names,
};

/// Into which order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderParcelsConfig {
    /// The atlas whose order it is, as `atlas.id` of the stage parcellate:
    /// `tian50_schaefer400_17networks` and others that encoders read.
    pub atlas: String,
}

const ORDERED: &str = "parcels.json";

impl Step for OrderParcelsConfig {
    fn id(&self) -> StepId {
        StepId { name: "order_parcels", version: 1 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn makes(&self, made: &mut Made, planned: Option<Planned<'_>>) -> Result<()> {
        if planned.is_some() {
            let order = self.order(&made.labels)?;
            made.labels = order.iter().map(|&at| made.labels[at].clone()).collect();
        }
        if let Some(InputSpace::Parcels { atlas, .. }) = &mut made.series {
            *atlas = Some(self.atlas.clone());
        }
        Ok(())
    }

    fn learns_from(&self, training: &Training<'_>) -> Option<Value> {
        Some(json!(names(training.parcels)))
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let order = self.order(&names(training.parcels))?;
        let parcels = ordered(training.parcels, &order);
        Ok(Box::new(Order { order, parcels }))
    }

    fn after(
        &self,
        before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        let before = before.expect("series come from an atlas");
        let parcels = files::read_json(&kept(ORDERED))?;
        Ok(AboutSeries { parcels, ..before }.and(self.said()))
    }
}

/// Where the columns come from, and what they are then.
struct Order {
    order: Vec<usize>,
    parcels: Vec<Parcel>,
}

impl Fitted for Order {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        given.map_or(0, |given| given.n_bytes(given.facts.n_frames))
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(columns(given.into_series(), &self.order).into())
    }

    fn parcels(&self) -> Option<&[Parcel]> {
        Some(&self.parcels)
    }

    fn decides(&self) -> Option<Value> {
        Some(json!(self.order))
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        Ok(files::write_json(&dir.join(ORDERED), &self.parcels)?)
    }
}

/// Parcels in another order.
fn ordered(parcels: &[Parcel], order: &[usize]) -> Vec<Parcel> {
    order.iter().map(|&at| parcels[at].clone()).collect()
}

/// A series whose columns stand in another order.
fn columns(mut series: StoredSeries, order: &[usize]) -> StoredSeries {
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
    pub fn order(&self, labels: &[String]) -> Result<Vec<usize>> {
        let refuse = |problem: String| Error::StageInput { stage: self.id().name, problem };
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
