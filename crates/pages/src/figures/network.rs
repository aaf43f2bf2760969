//! The order of parcels in figures: by network, where their names say one.

use report::compose::Parcellation;

/// Parcels by network, networks in the order of the atlas, with how many each has; parcels of none come
/// last. The order of the atlas and no networks, where most names say none.
pub fn by_network<T: AsRef<str>>(names: &[T]) -> (Vec<usize>, Vec<(String, usize)>) {
    let found = Parcellation::of_names(names);
    let of = |parcel: &usize| found.network_of(*parcel);
    let mut order: Vec<usize> = (0..names.len()).collect();
    let n_other = order.iter().filter(|parcel| of(parcel).is_none()).count();
    if n_other * 2 > names.len() || found.networks().is_empty() {
        return (order, Vec::new());
    }
    order.sort_by_key(|parcel| of(parcel).unwrap_or(usize::MAX));
    let n_of = |network: usize| order.iter().filter(|parcel| of(parcel) == Some(network)).count();
    let networks = found.networks().iter().enumerate();
    let mut counts: Vec<(String, usize)> =
        networks.map(|(network, name)| (name.clone(), n_of(network))).collect();
    if n_other > 0 {
        counts.push(("other".to_owned(), n_other));
    }
    (order, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hemispheres_of_a_network_come_together_and_others_come_last() {
        let names = ["LH_Vis_1", "HIP-rh", "LH_Default_1", "RH_Vis_1", "RH_Default_1"];
        let (order, networks) = by_network(&names);
        assert_eq!(order, [0, 3, 2, 4, 1]);
        let expected = [("Vis", 2), ("Default", 2), ("other", 1)];
        assert_eq!(networks, expected.map(|(name, n)| (name.to_owned(), n)));
    }

    #[test]
    fn an_atlas_without_networks_keeps_its_order() {
        let (order, networks) = by_network(&["a", "b", "LH_Vis_1"]);
        assert!(order == [0, 1, 2] && networks.is_empty());
        assert!(by_network::<&str>(&[]).1.is_empty());
    }
}
