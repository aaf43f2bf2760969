//! Whether a statement goes when its evidence goes: the parcels of a slot's place taken out, and as many others.

use serde::{Deserialize, Serialize};

use super::{OccludedSlot, units::Units};
use crate::{
    Result,
    metrics::{Interval, at_least, mean_interval, same_length, share_interval},
};

/// Whether statements in a slot rest on its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grounding {
    /// The slot.
    pub slot: String,
    /// Its place, if it has one.
    pub place: Option<String>,
    /// Parcels that were taken out.
    pub n_parcels: usize,
    /// Windows whose report states the slot with the whole scan.
    pub n_stated: usize,
    /// Of those, the share whose statement is another or gone without the place.
    pub grounding: Option<Interval>,
    /// The same without as many other parcels: changes that have nothing to do with the place.
    pub irrelevant_change: Option<Interval>,
    /// The first minus the second, window by window.
    pub difference: Option<Interval>,
    /// Nats a token by which the true report becomes less likely without the place than without other parcels.
    pub likelihood: Option<Interval>,
    /// Whether the lower end of the difference is above 0. Never of a slot that cannot be occluded.
    pub is_grounded: bool,
    /// Why it cannot be occluded, or why there are no numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Grounding {
    pub(super) fn of(slot: &OccludedSlot, units: &Units) -> Result<Self> {
        let mut found = Self {
            slot: slot.slot.clone(),
            place: slot.place.clone(),
            n_parcels: 0,
            n_stated: 0,
            grounding: None,
            irrelevant_change: None,
            difference: None,
            likelihood: None,
            is_grounded: false,
            reason: None,
        };
        let it = match &slot.occluded {
            Ok(it) => it,
            Err(reason) => {
                found.reason = Some(reason.clone());
                return Ok(found);
            }
        };
        let n = units.resampled().len();
        at_least("windows", n, 2)?;
        same_length("statements without a place", it.without.len(), n)?;
        same_length("statements without other parcels", it.control.len(), n)?;
        same_length("statements with the whole scan", it.own.len(), n)?;
        same_length("likelihoods without a place", it.nll_without.len(), n)?;
        same_length("likelihoods without other parcels", it.nll_control.len(), n)?;
        found.n_parcels = it.n_parcels;
        let lost: Vec<f64> =
            it.nll_without.iter().zip(&it.nll_control).map(|(a, b)| a - b).collect();
        found.likelihood = Some(mean_interval(&lost, units.resampled()));
        let stated: Vec<usize> = (0..n).filter(|&idx| it.own[idx].is_some()).collect();
        found.n_stated = stated.len();
        if stated.is_empty() {
            found.reason = Some("no report states it".to_owned());
            return Ok(found);
        }
        let changed = |other: &[Option<String>]| -> Vec<f64> {
            stated.iter().map(|&idx| f64::from(u8::from(other[idx] != it.own[idx]))).collect()
        };
        let (without, control) = (changed(&it.without), changed(&it.control));
        let cluster: Vec<usize> = stated.iter().map(|&idx| units.resampled()[idx]).collect();
        let difference: Vec<f64> = without.iter().zip(&control).map(|(a, b)| a - b).collect();
        let difference = mean_interval(&difference, &cluster).within(-1.0, 1.0);
        found.grounding = Some(share_interval(&without, &cluster)?);
        found.irrelevant_change = Some(share_interval(&control, &cluster)?);
        found.is_grounded = difference.low > super::rule::ROUNDING;
        found.difference = Some(difference);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Occluded, Unit};

    fn units(n: usize) -> Units {
        let unit = |idx: usize| Unit { subject: idx.to_string(), ..Unit::default() };
        let units: Vec<Unit> = (0..n).map(unit).collect();
        Units::new(&units, &(0..n).map(|idx| idx % 2).collect::<Vec<_>>())
    }

    fn said(values: impl Fn(usize) -> Option<&'static str>) -> Vec<Option<String>> {
        (0..16).map(|idx| values(idx).map(str::to_owned)).collect()
    }

    fn slot(occluded: Occluded) -> Grounding {
        let (slot, place) = ("dmn".to_owned(), Some("network Default".to_owned()));
        let occluded = OccludedSlot { slot, place, occluded: Ok(occluded) };
        Grounding::of(&occluded, &units(16)).unwrap()
    }

    #[test]
    fn a_finding_that_goes_with_its_place_is_grounded() {
        let own = said(|idx| Some(["low", "high"][idx % 2]));
        let found = slot(Occluded {
            n_parcels: 4,
            own: own.clone(),
            without: said(|idx| if idx < 2 { Some(["low", "high"][idx]) } else { None }),
            control: own,
            nll_without: vec![1.5; 16],
            nll_control: vec![1.25; 16],
        });
        // 14 of 16 go; none goes with other parcels
        assert_eq!(found.difference.unwrap().estimate, 14.0 / 16.0);
        assert_eq!(found.grounding.unwrap().estimate, 14.0 / 16.0);
        assert_eq!(found.irrelevant_change.unwrap().estimate, 0.0);
        assert_eq!(found.likelihood.unwrap().estimate, 0.25);
        assert!(found.is_grounded && found.reason.is_none());
    }

    #[test]
    fn what_goes_with_any_parcels_is_not_grounded() {
        let own = said(|idx| (idx != 3).then_some("low"));
        let found = slot(Occluded {
            n_parcels: 4,
            own,
            without: said(|_| Some("high")),
            control: said(|_| Some("high")),
            nll_without: vec![1.5; 16],
            nll_control: vec![1.5; 16],
        });
        assert_eq!((found.n_stated, found.difference.unwrap().estimate), (15, 0.0));
        assert_eq!(found.grounding.unwrap().estimate, 1.0);
        assert!(!found.is_grounded);
    }

    #[test]
    fn what_has_no_place_or_is_never_stated_is_never_grounded() {
        let reason = "not occludable: it has no place".to_owned();
        let none =
            OccludedSlot { slot: "age".to_owned(), place: None, occluded: Err(reason.clone()) };
        let found = Grounding::of(&none, &units(16)).unwrap();
        assert_eq!((found.is_grounded, found.reason), (false, Some(reason)));
        let silent = slot(Occluded {
            own: vec![None; 16],
            without: said(|_| Some("high")),
            control: vec![None; 16],
            nll_without: vec![1.0; 16],
            nll_control: vec![1.0; 16],
            n_parcels: 1,
        });
        assert!(!silent.is_grounded && silent.grounding.is_none());
        assert_eq!(silent.reason.unwrap(), "no report states it");
        let short = Occluded { own: vec![None; 3], ..Occluded::default() };
        let short = OccludedSlot { slot: "a".to_owned(), place: None, occluded: Ok(short) };
        assert!(Grounding::of(&short, &units(16)).is_err());
    }
}
