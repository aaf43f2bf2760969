//! The order of parcels in figures: by network, where their names say one.

/// The network that a parcel's name gives after its hemisphere: `Vis` of `7Networks_LH_Vis_12`, `DefaultA`
/// of `LH_DefaultA_PFCm_1`.
pub fn network(name: &str) -> Option<&str> {
    let mut parts = name.split('_').skip_while(|part| !matches!(*part, "LH" | "RH"));
    parts.next()?;
    let network = parts.next()?;
    let is_word = network.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_word && parts.next().is_some()).then_some(network)
}

/// Parcels by network, networks in the order of their first parcel, with how many each has; the order
/// of the atlas and no networks, where most names say none.
pub fn by_network<'a>(names: impl Iterator<Item = &'a str>) -> (Vec<usize>, Vec<(String, usize)>) {
    let found: Vec<Option<&str>> = names.map(network).collect();
    if found.iter().flatten().count() * 2 < found.len() {
        return ((0..found.len()).collect(), Vec::new());
    }
    let mut networks: Vec<(&str, Vec<usize>)> = Vec::new();
    for (parcel, network) in found.iter().enumerate() {
        let network = network.unwrap_or("other");
        match networks.iter_mut().find(|(name, _)| *name == network) {
            Some((_, parcels)) => parcels.push(parcel),
            None => networks.push((network, vec![parcel])),
        }
    }
    let order = networks.iter().flat_map(|(_, parcels)| parcels.clone()).collect();
    let counts = networks.into_iter().map(|(name, parcels)| (name.to_owned(), parcels.len()));
    (order, counts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_schaefers_parcels_give_their_networks() {
        assert_eq!(network("7Networks_LH_Vis_12"), Some("Vis"));
        assert_eq!(network("17Networks_RH_DefaultA_PFCm_1"), Some("DefaultA"));
        assert_eq!(network("LH_SomMot_3"), Some("SomMot"));
        for other in ["HIP-rh", "parcel 7", "LH_1", "L_V1_ROI"] {
            assert_eq!(network(other), None, "{other}");
        }
    }

    #[test]
    fn hemispheres_of_a_network_come_together() {
        let names = ["LH_Vis_1", "LH_Default_1", "RH_Vis_1", "HIP-rh", "RH_Default_1"];
        let (order, networks) = by_network(names.into_iter());
        assert_eq!(order, [0, 2, 1, 4, 3]);
        let expected = [("Vis", 2), ("Default", 2), ("other", 1)];
        assert_eq!(networks, expected.map(|(name, n)| (name.to_owned(), n)));
        let (order, networks) = by_network(["a", "b", "LH_Vis_1"].into_iter());
        assert!(order == [0, 1, 2] && networks.is_empty());
    }
}
