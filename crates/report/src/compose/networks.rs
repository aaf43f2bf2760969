//! The networks of an atlas by its labels, and how strongly they are connected.

use indexmap::IndexMap;
use ndarray::ArrayView2;

/// Which network each parcel is of, and on which side it lies, by the names of the atlas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcellation {
    names: Vec<String>,
    network: Vec<Option<usize>>,
    is_left: Vec<Option<bool>>,
}

impl Parcellation {
    /// Reads names such as `7Networks_LH_Default_PFC_1`: the word behind the hemisphere is the network. Parcels
    /// of other names are of none.
    ///
    /// ```
    /// let names = ["7Networks_LH_Vis_1", "7Networks_RH_Default_PFC_2", "HIP-lh"];
    /// let found = report::compose::Parcellation::of_names(&names);
    /// assert_eq!(found.networks(), ["Vis", "Default"]);
    /// ```
    pub fn of_names<T: AsRef<str>>(parcels: &[T]) -> Self {
        let mut names: Vec<String> = Vec::new();
        let (mut network, mut is_left) = (Vec::new(), Vec::new());
        for parcel in parcels {
            let found = network_of(parcel.as_ref());
            is_left.push(found.map(|it| it.0));
            network.push(found.map(|(_, name)| {
                names.iter().position(|it| it == name).unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                })
            }));
        }
        Self { names, network, is_left }
    }

    /// The networks, in the order of the atlas.
    pub fn networks(&self) -> &[String] {
        &self.names
    }

    /// The network of a parcel, as its place among the networks.
    pub fn network_of(&self, parcel: usize) -> Option<usize> {
        self.network[parcel]
    }

    /// Whether a parcel of a network lies on the left.
    pub fn is_left(&self, parcel: usize) -> Option<bool> {
        self.is_left[parcel]
    }
}

/// Whether a parcel lies on the left, and its network.
fn network_of(parcel: &str) -> Option<(bool, &str)> {
    let words: Vec<&str> = parcel.split('_').collect();
    let side = words.iter().position(|word| matches!(*word, "LH" | "RH"))?;
    // what stands before may only name the atlas
    let is_atlas = side == 0 || side == 1 && words[0].ends_with("Networks");
    let network = words.get(side + 1).filter(|word| is_atlas && !word.is_empty())?;
    (!network.chars().all(|c| c.is_ascii_digit())).then_some((words[side] == "LH", *network))
}

/// Mean connectivity of each network: `within` it, `between` it and all others, and `laterality`, within its left
/// parcels minus within its right ones. `fisher_z` is `(n_parcels, n_parcels)`; pairs that are not finite do not
/// count, and what has no pair is left out.
pub fn network_measures(
    fisher_z: ArrayView2<'_, f64>,
    parcels: &Parcellation,
) -> IndexMap<String, f64> {
    let n = parcels.names.len();
    let zero = (0.0, 0_usize);
    let (mut within, mut between) = (vec![zero; n], vec![zero; n]);
    let mut sides = vec![[zero; 2]; n];
    for i in 0..fisher_z.nrows() {
        for j in 0..i {
            let z = fisher_z[(i, j)];
            let (Some(a), Some(b)) = (parcels.network[i], parcels.network[j]) else { continue };
            if !z.is_finite() {
                continue;
            }
            let add = |sum: &mut (f64, usize)| *sum = (sum.0 + z, sum.1 + 1);
            if a != b {
                add(&mut between[a]);
                add(&mut between[b]);
                continue;
            }
            add(&mut within[a]);
            if let (Some(left), Some(other)) = (parcels.is_left[i], parcels.is_left[j])
                && left == other
            {
                add(&mut sides[a][usize::from(!left)]);
            }
        }
    }
    let mean = |(sum, n): (f64, usize)| (n > 0).then(|| sum / n as f64);
    let mut measures = IndexMap::new();
    for (idx, name) in parcels.names.iter().enumerate() {
        let [left, right] = sides[idx].map(mean);
        let found = [
            ("within", mean(within[idx])),
            ("between", mean(between[idx])),
            ("laterality", left.zip(right).map(|(left, right)| left - right)),
        ];
        let found = found.into_iter().filter_map(|(what, z)| Some((format!("{what}:{name}"), z?)));
        measures.extend(found);
    }
    measures
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn networks_are_those_of_the_labels() {
        let names = [
            "7Networks_LH_Vis_1",
            "17Networks_RH_DefaultA_PFCd_1",
            "LH_Cont_Par_1",
            "Left-Thalamus",
            "7Networks_1",
            "LH_7",
            "Vermis_LH_Crus",
        ];
        let found = Parcellation::of_names(&names);
        assert_eq!(found.networks(), ["Vis", "DefaultA", "Cont"]);
        assert_eq!(found.network, [Some(0), Some(1), Some(2), None, None, None, None]);
    }

    #[test]
    fn means_by_hand() {
        let names = ["LH_A_1", "LH_A_2", "RH_A_1", "RH_A_2", "LH_B_1", "other"];
        let mut z = array![
            [9.0, 0.5, 0.1, 0.1, 0.2, 7.0],
            [0.5, 9.0, 0.1, 0.1, 0.4, 7.0],
            [0.1, 0.1, 9.0, 0.3, f64::NAN, 7.0],
            [0.1, 0.1, 0.3, 9.0, 0.0, 7.0],
            [0.2, 0.4, f64::NAN, 0.0, 9.0, 7.0],
            [7.0; 6]
        ];
        z[(5, 5)] = f64::INFINITY;
        let found = network_measures(z.view(), &Parcellation::of_names(&names));
        assert!((found["within:A"] - 1.2 / 6.0).abs() < 1e-12, "{found:?}");
        assert!((found["between:A"] - 0.2).abs() < 1e-12);
        assert!((found["laterality:A"] - 0.2).abs() < 1e-12);
        // one parcel has no pair
        assert!((found["between:B"] - 0.2).abs() < 1e-12 && found.len() == 4);
    }
}
