//! In which order an encoder's parcels stand, told by their labels: as many parcels in another order are
//! other parcels.
//!
//! Sources: the label files of Schaefer et al. 2018, with the networks of Yeo et al. 2011 in their order,
//! and of Tian et al. 2020.

use std::fmt;

/// Networks of Schaefer's parcels, as their label files have them, hemisphere by hemisphere.
const SEVEN: [&str; 7] = ["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default"];
const SEVENTEEN: [&str; 17] = [
    "VisCent",
    "VisPeri",
    "SomMotA",
    "SomMotB",
    "DorsAttnA",
    "DorsAttnB",
    "SalVentAttnA",
    "SalVentAttnB",
    "LimbicB",
    "LimbicA",
    "ContA",
    "ContB",
    "ContC",
    "DefaultA",
    "DefaultB",
    "DefaultC",
    "TempPar",
];

/// Parts of an atlas, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// So many parcels of Schaefer's, of so many networks: left hemisphere, then right.
    Schaefer(usize, usize),
    /// So many of Tian's: right hemisphere, then left.
    Tian(usize),
    /// So many others.
    Others(usize),
}

/// Atlases whose order is known, by their ids.
const KNOWN: [(&str, &[Part]); 6] = [
    ("schaefer400_17networks", &[Part::Schaefer(400, 17)]),
    ("schaefer400_7networks", &[Part::Schaefer(400, 7)]),
    ("schaefer1000_17networks", &[Part::Schaefer(1000, 17)]),
    ("schaefer1000_7networks", &[Part::Schaefer(1000, 7)]),
    ("tian50_schaefer400_17networks", &[Part::Tian(50), Part::Schaefer(400, 17)]),
    (
        "schaefer400_7networks_tian50_buckner7",
        &[Part::Schaefer(400, 7), Part::Tian(50), Part::Others(7)],
    ),
];

/// One id for the names under which an atlas goes: `schaefer400_17networks_tian50` has Tian's parcels
/// first, as the joined file of that name.
pub fn canonical_atlas(id: &str) -> &str {
    match id {
        "schaefer400_17networks_tian50" => "tian50_schaefer400_17networks",
        id => id,
    }
}

/// What a label says of where its parcel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// Networks of the scheme, hemisphere (0 left), network.
    Schaefer(usize, usize, usize),
    /// Hemisphere, 0 right.
    Tian(usize),
    Other,
}

/// Whether parcels stand as an encoder reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParcelOrder {
    /// They do.
    Same,
    /// Nothing tells: the atlas or its labels are not known by name.
    Unknown,
    /// The same parcels in another order: parcel `i` of the encoder is parcel `order[i]` of the atlas.
    Permuted(Vec<usize>),
}

/// Why parcels are not those of the encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherParcels(String);

impl fmt::Display for OtherParcels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares the labels of an atlas's parcels, in their order, with those of the encoder's atlas.
///
/// # Errors
/// One sentence where the labels are of other parcels, such as of another scheme of networks.
pub fn parcel_order(encoder_atlas: &str, labels: &[String]) -> Result<ParcelOrder, OtherParcels> {
    let id = canonical_atlas(encoder_atlas);
    let Some((_, parts)) = KNOWN.iter().find(|(known, _)| *known == id) else {
        return Ok(ParcelOrder::Unknown);
    };
    let read: Vec<Label> = labels.iter().map(|label| Label::of(label)).collect();
    if read.iter().all(|label| *label == Label::Other) {
        return Ok(ParcelOrder::Unknown);
    }
    let other = |what: String| Err(OtherParcels(what));
    let mut places: Vec<(usize, usize, usize)> = Vec::with_capacity(read.len());
    for (at, label) in read.iter().enumerate() {
        let part = |fits: &dyn Fn(&Part) -> bool| parts.iter().position(fits);
        let place = match *label {
            Label::Schaefer(n, side, network) => {
                let Some(at_part) = part(&|it| matches!(it, Part::Schaefer(_, of) if *of == n))
                else {
                    let expected = parts.iter().find_map(|it| match it {
                        Part::Schaefer(_, of) => Some(*of),
                        _ => None,
                    });
                    let expected = expected.unwrap_or_default();
                    return other(format!(
                        "label {} `{}` is of {n} networks, expected labels of {expected}",
                        at + 1,
                        labels[at]
                    ));
                };
                (at_part, side, network)
            }
            Label::Tian(side) => match part(&|it| matches!(it, Part::Tian(_))) {
                Some(at_part) => (at_part, side, 0),
                None => {
                    return other(format!(
                        "label {} `{}` is of Tian's parcels, which `{id}` does not have",
                        at + 1,
                        labels[at]
                    ));
                }
            },
            Label::Other => match part(&|it| matches!(it, Part::Others(_))) {
                Some(at_part) => (at_part, 0, 0),
                None => {
                    return other(format!(
                        "label {} `{}` is none of the labels of `{id}`: its table is of another atlas \
                         or of an older release",
                        at + 1,
                        labels[at]
                    ));
                }
            },
        };
        places.push(place);
    }
    for (at_part, part) in parts.iter().enumerate() {
        let (expected, what) = match part {
            Part::Schaefer(n, of) => (*n, format!("Schaefer's parcels of {of} networks")),
            Part::Tian(n) => (*n, "Tian's parcels".to_owned()),
            Part::Others(n) => (*n, "other parcels".to_owned()),
        };
        let found = places.iter().filter(|place| place.0 == at_part).count();
        if found != expected {
            return other(format!("its labels name {found} of {what}, expected {expected}"));
        }
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    // within a network of a hemisphere parcels keep the order of their table
    order.sort_by_key(|&at| places[at]);
    let same = order.iter().enumerate().all(|(to, from)| to == *from);
    Ok(if same { ParcelOrder::Same } else { ParcelOrder::Permuted(order) })
}

impl Label {
    fn of(label: &str) -> Self {
        Self::schaefer(label).or_else(|| Self::tian(label)).unwrap_or(Self::Other)
    }

    /// `17Networks_LH_VisCent_ExStr_1`, with or without the scheme before the hemisphere.
    fn schaefer(label: &str) -> Option<Self> {
        let (scheme, rest) = match label.split_once("etworks_") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, label),
        };
        let mut words = rest.split('_');
        let side = match words.next()? {
            "LH" => 0,
            "RH" => 1,
            _ => return None,
        };
        let network = words.next()?;
        let place = |names: &[&str]| names.iter().position(|name| *name == network);
        let said = scheme.map(|scheme| scheme.trim_end_matches(['n', 'N']));
        match said.and_then(|said| said.rsplit(|c: char| !c.is_ascii_digit()).next()) {
            Some("7") => Some(Self::Schaefer(7, side, place(&SEVEN)?)),
            Some("17") => Some(Self::Schaefer(17, side, place(&SEVENTEEN)?)),
            Some(_) => None,
            // no network has the same name in both schemes
            None => place(&SEVENTEEN)
                .map(|network| Self::Schaefer(17, side, network))
                .or_else(|| place(&SEVEN).map(|network| Self::Schaefer(7, side, network))),
        }
    }

    /// `HIP-head-m1-rh`.
    fn tian(label: &str) -> Option<Self> {
        const STRUCTURES: [&str; 8] = ["HIP", "THA", "PUT", "CAU", "AMY", "GP", "NAc", "NAC"];
        let (structure, side) = label.rsplit_once('-')?;
        let side = match side {
            "rh" => 0,
            "lh" => 1,
            _ => return None,
        };
        // `aGP`, `lAMY` and `pTHA-DP` have a letter before the structure
        let first = structure.split('-').next()?;
        let named = STRUCTURES
            .iter()
            .any(|name| first.strip_suffix(name).is_some_and(|letter| letter.chars().count() <= 3));
        named.then_some(Self::Tian(side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels as their file has them: so many of each network of each hemisphere.
    fn schaefer(scheme: usize, n: usize) -> Vec<String> {
        let names: &[&str] = if scheme == 7 { &SEVEN } else { &SEVENTEEN };
        let mut labels = Vec::new();
        for (side, of_side) in [("LH", n / 2), ("RH", n - n / 2)] {
            for at in 0..of_side {
                let network = at * names.len() / of_side;
                labels.push(format!("{scheme}Networks_{side}_{}_Part_{}", names[network], at + 1));
            }
        }
        labels
    }

    fn tian() -> Vec<String> {
        let of = |side: &'static str| {
            ["HIP-head-m1", "THA-DP", "PUT-VA", "aGP", "lAMY"]
                .into_iter()
                .cycle()
                .take(25)
                .map(move |name| format!("{name}-{side}"))
        };
        of("rh").chain(of("lh")).collect()
    }

    #[test]
    fn the_published_orders_are_the_same_as_their_labels() {
        let seventeen = schaefer(17, 400);
        let order = |id: &str, labels: &[String]| parcel_order(id, labels).unwrap();
        assert_eq!(order("schaefer400_17networks", &seventeen), ParcelOrder::Same);
        let joined = [tian(), seventeen.clone()].concat();
        for id in ["tian50_schaefer400_17networks", "schaefer400_17networks_tian50"] {
            assert_eq!(order(id, &joined), ParcelOrder::Same, "{id}");
        }
        let cerebellum: Vec<String> = (1..=7).map(|n| format!("Cerebellum {n}")).collect();
        let all = [schaefer(7, 400), tian(), cerebellum].concat();
        assert_eq!(order("schaefer400_7networks_tian50_buckner7", &all), ParcelOrder::Same);
        // the scheme need not stand in every label
        let short: Vec<String> =
            seventeen.iter().map(|label| label["17Networks_".len()..].to_owned()).collect();
        assert_eq!(order("schaefer400_17networks", &short), ParcelOrder::Same);
        let numbers: Vec<String> = (1..=400).map(|n| format!("label {n}")).collect();
        assert_eq!(order("schaefer400_17networks", &numbers), ParcelOrder::Unknown);
        assert_eq!(order("A424", &seventeen), ParcelOrder::Unknown);
    }

    #[test]
    fn parts_and_hemispheres_in_another_order_are_a_permutation_by_label() {
        let joined = [tian(), schaefer(17, 400)].concat();
        let turned = [schaefer(17, 400), tian()].concat();
        let ParcelOrder::Permuted(order) =
            parcel_order("tian50_schaefer400_17networks", &turned).unwrap()
        else {
            panic!("another order")
        };
        let back: Vec<&String> = order.iter().map(|&at| &turned[at]).collect();
        assert!(back.into_iter().eq(&joined));
        let right_first: Vec<String> = {
            let labels = schaefer(17, 400);
            labels[200..].iter().chain(&labels[..200]).cloned().collect()
        };
        let found = parcel_order("schaefer400_17networks", &right_first).unwrap();
        assert_eq!(found, ParcelOrder::Permuted((200..400).chain(0..200).collect()));
    }

    #[test]
    fn other_parcels_are_refused_with_the_label_that_tells() {
        let said = |id: &str, labels: &[String]| parcel_order(id, labels).unwrap_err().to_string();
        let error = said("schaefer400_17networks", &schaefer(7, 400));
        assert_eq!(
            error,
            "label 1 `7Networks_LH_Vis_Part_1` is of 7 networks, expected labels of 17"
        );
        let mut stale = schaefer(17, 400);
        stale[79] = "17Networks_LH_Limbic_OFC_1".to_owned();
        let error = said("schaefer400_17networks", &stale);
        assert!(error.contains("label 80 `17Networks_LH_Limbic_OFC_1` is none of"), "{error}");
        let error = said("schaefer400_17networks", &[schaefer(17, 400), tian()].concat());
        assert!(error.contains("label 401 `HIP-head-m1-rh` is of Tian's parcels"), "{error}");
        let error = said("tian50_schaefer400_17networks", &schaefer(17, 400));
        assert!(error.contains("its labels name 0 of Tian's parcels, expected 50"), "{error}");
    }
}
