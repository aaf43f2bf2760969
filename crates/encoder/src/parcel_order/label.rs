//! What the labels of Schaefer's, Tian's and Buckner's parcels say of where each stands.
//!
//! Sources: the label files of Schaefer et al. 2018, with the networks of Yeo et al. 2011 in their order;
//! of Tian et al. 2020; and of Buckner et al. 2011, whose cerebellar parcels are numbered as Yeo's seven
//! networks.

/// Networks of Schaefer's parcels, as their label files have them, hemisphere by hemisphere.
pub(super) const SEVEN: [&str; 7] =
    ["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default"];
pub(super) const SEVENTEEN: [&str; 17] = [
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

/// What a label says of where its parcel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Networks of the scheme, hemisphere (0 left), network.
    Schaefer(usize, usize, usize),
    /// Hemisphere, 0 right.
    Tian(usize),
    Other,
}

impl Label {
    pub(super) fn of(label: &str) -> Self {
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

/// Names of Yeo's seven networks in their order, each as Schaefer's files and as the paper have it.
const YEO: [[&str; 2]; 7] = [
    ["vis", "visual"],
    ["sommot", "somatomotor"],
    ["dorsattn", "dorsalattention"],
    ["salventattn", "ventralattention"],
    ["limbic", "limbic"],
    ["cont", "frontoparietal"],
    ["default", "default"],
];

/// The network, from 0, of a cerebellar parcel of Buckner's: by the number at its end (`Network1`,
/// `7Networks_1`, `Cerebellum 1`) or by its name.
pub(super) fn cerebellar(label: &str) -> Option<usize> {
    let bare = label.trim_end_matches(|c: char| c.is_ascii_digit());
    if let Ok(number) = label[bare.len()..].parse::<usize>() {
        return (1..=YEO.len()).contains(&number).then(|| number - 1);
    }
    let letters: String = label.chars().filter(char::is_ascii_alphabetic).collect();
    let letters = letters.to_ascii_lowercase();
    YEO.iter().position(|names| names.iter().any(|name| letters.ends_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cerebellar_parcels_are_told_by_number_or_name() {
        let of = |label: &str| cerebellar(label);
        // FreeSurfer's colour table, and two of the collection of cerebellar atlases
        assert_eq!(
            [of("7Networks_1"), of("Network2"), of("Netowrk6")],
            [Some(0), Some(1), Some(5)]
        );
        assert_eq!([of("Cerebellum 7"), of("Buckner_Limbic")], [Some(6), Some(4)]);
        assert_eq!([of("Dorsal Attention"), of("Ventral Attention")], [Some(2), Some(3)]);
        assert_eq!([of("Cerebellum_SalVentAttn"), of("CER Cont")], [Some(3), Some(5)]);
        assert_eq!([of("label 451"), of("Vermis_X"), of("Network0"), of("")], [None; 4]);
    }
}
