//! In which order an encoder's parcels stand, told by their labels: as many parcels in another order are
//! other parcels.

mod a424;
mod label;

use std::collections::HashMap;
use std::fmt;

use self::label::{Label, cerebellar};

/// Parts of an atlas, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// So many parcels of Schaefer's, of so many networks: left hemisphere, then right.
    Schaefer(usize, usize),
    /// So many of Tian's: right hemisphere, then left.
    Tian(usize),
    /// So many of the cerebellum, as Buckner's files number them.
    Cerebellum(usize),
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
        &[Part::Schaefer(400, 7), Part::Tian(50), Part::Cerebellum(7)],
    ),
];

/// The atlas whose parcels each have a name of their own.
const A424: &str = "A424";

/// One id for the names under which an atlas goes: `schaefer400_17networks_tian50` has Tian's parcels
/// first, as the joined file of that name.
pub fn canonical_atlas(id: &str) -> &str {
    match id {
        "schaefer400_17networks_tian50" => "tian50_schaefer400_17networks",
        id => id,
    }
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
    if id == A424 {
        return by_name(id, &a424::labels(), labels);
    }
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
            Label::Other => match part(&|it| matches!(it, Part::Cerebellum(_))) {
                Some(at_part) => (at_part, 0, 0),
                None => return Err(stranger(id, at, &labels[at])),
            },
        };
        places.push(place);
    }
    for (at_part, part) in parts.iter().enumerate() {
        let (expected, what) = match part {
            Part::Schaefer(n, of) => (*n, format!("Schaefer's parcels of {of} networks")),
            Part::Tian(n) => (*n, "Tian's parcels".to_owned()),
            Part::Cerebellum(n) => (*n, "Buckner's parcels of the cerebellum".to_owned()),
        };
        let found = places.iter().filter(|place| place.0 == at_part).count();
        if found != expected {
            return other(format!("its labels name {found} of {what}, expected {expected}"));
        }
    }
    number_the_cerebellum(parts, labels, &mut places);
    Ok(sorted(&places))
}

/// Where each place comes in their order.
fn sorted<T: Ord>(places: &[T]) -> ParcelOrder {
    let mut order: Vec<usize> = (0..places.len()).collect();
    // within a network of a hemisphere parcels keep the order of their table
    order.sort_by_key(|&at| &places[at]);
    let same = order.iter().enumerate().all(|(to, from)| to == *from);
    if same { ParcelOrder::Same } else { ParcelOrder::Permuted(order) }
}

/// Puts cerebellar parcels in the order of their networks, where the labels tell it of all: their files
/// differ in what they call them, and without a number or a known name they stay as they stand.
fn number_the_cerebellum(parts: &[Part], labels: &[String], places: &mut [(usize, usize, usize)]) {
    let Some(part) = parts.iter().position(|it| matches!(it, Part::Cerebellum(_))) else { return };
    let of_part: Vec<usize> = (0..places.len()).filter(|&at| places[at].0 == part).collect();
    let numbers: Option<Vec<usize>> = of_part.iter().map(|&at| cerebellar(&labels[at])).collect();
    let Some(numbers) = numbers else { return };
    if (0..of_part.len()).all(|network| numbers.contains(&network)) {
        for (at, network) in of_part.into_iter().zip(numbers) {
            places[at].1 = network;
        }
    }
}

/// Compares labels with an atlas whose parcels each have a name.
fn by_name(id: &str, names: &[String], labels: &[String]) -> Result<ParcelOrder, OtherParcels> {
    let known: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (a424::plain(name), at)).collect();
    let found: Vec<Option<usize>> =
        labels.iter().map(|label| known.get(a424::plain(label)).copied()).collect();
    if found.iter().all(Option::is_none) {
        return Ok(ParcelOrder::Unknown);
    }
    let mut places = Vec::with_capacity(found.len());
    let mut first = HashMap::new();
    for (at, (place, label)) in found.into_iter().zip(labels).enumerate() {
        let Some(place) = place else { return Err(stranger(id, at, label)) };
        if let Some(before) = first.insert(place, at) {
            let (before, at) = (before + 1, at + 1);
            return Err(OtherParcels(format!("labels {before} and {at} are both `{label}`")));
        }
        places.push(place);
    }
    if let Some(missing) = (0..names.len()).find(|place| !first.contains_key(place)) {
        let name = &names[missing];
        return Err(OtherParcels(format!("no label is `{name}`, parcel {} of {id}", missing + 1)));
    }
    Ok(sorted(&places))
}

/// A label that is none of an atlas's.
fn stranger(id: &str, at: usize, label: &str) -> OtherParcels {
    OtherParcels(format!(
        "label {} `{label}` is none of the labels of `{id}`: its table is of another atlas or of an \
         older release",
        at + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::label::{SEVEN, SEVENTEEN};
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
        assert_eq!(order("own_atlas", &seventeen), ParcelOrder::Unknown);
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
    fn parcels_of_the_cerebellum_stand_in_the_order_of_their_networks() {
        let with = |cerebellum: Vec<String>| {
            let all = [schaefer(7, 400), tian(), cerebellum].concat();
            parcel_order("schaefer400_7networks_tian50_buckner7", &all).unwrap()
        };
        let numbered = |numbers: [usize; 7]| {
            with(numbers.iter().map(|n| format!("Network{n}")).collect::<Vec<_>>())
        };
        assert_eq!(numbered([1, 2, 3, 4, 5, 6, 7]), ParcelOrder::Same);
        let turned = numbered([2, 1, 3, 4, 5, 6, 7]);
        let expected: Vec<usize> = (0..450).chain([451, 450]).chain(452..457).collect();
        assert_eq!(turned, ParcelOrder::Permuted(expected));
        assert_eq!(
            with(SEVEN.map(|name| format!("Cerebellum_{name}")).to_vec()),
            ParcelOrder::Same
        );
        // what nobody knows by name stays as it stands
        let unknown = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned).to_vec();
        assert_eq!(with(unknown), ParcelOrder::Same);
    }

    #[test]
    fn parcels_of_a424_are_compared_by_their_names() {
        let names = a424::labels();
        let order = |labels: &[String]| parcel_order("A424", labels);
        assert_eq!(order(&names), Ok(ParcelOrder::Same));
        let short: Vec<String> = names.iter().map(|it| a424::plain(it).to_owned()).collect();
        assert_eq!(order(&short), Ok(ParcelOrder::Same));
        let left_first = [&names[180..360], &names[..180], &names[360..]].concat();
        let expected: Vec<usize> = (180..360).chain(0..180).chain(360..424).collect();
        assert_eq!(order(&left_first), Ok(ParcelOrder::Permuted(expected)));
        let numbers: Vec<String> = (1..=424).map(|n| format!("label {n}")).collect();
        assert_eq!(order(&numbers), Ok(ParcelOrder::Unknown));
        let said = |labels: &[String]| order(labels).unwrap_err().to_string();
        let with = |at: usize, label: &str| {
            let mut labels = names.clone();
            labels[at] = label.to_owned();
            said(&labels)
        };
        assert!(with(2, "R_V6x_ROI").starts_with("label 3 `R_V6x_ROI` is none of the labels of"));
        assert_eq!(with(2, "R_V1_ROI"), "labels 1 and 3 are both `R_V1_ROI`");
        assert_eq!(said(&names[..423]), "no label is `Right_X`, parcel 424 of A424");
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
