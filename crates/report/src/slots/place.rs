//! The part of the brain in which the evidence of a slot lies.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compose::Parcellation;

/// The part of the brain in which the evidence of a slot lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A network, as the atlas names it.
    Network(String),
    /// Parcels of the atlas, from 1.
    Parcels(Vec<usize>),
    /// A region, as the atlas names it.
    Region(String),
}

impl Place {
    /// The columns of a series in it, from 0; `names` are those of its parcels. A region is a parcel of this name,
    /// or all parcels that have it among the words of theirs.
    ///
    /// ```
    /// use report::slots::Place;
    /// let names = ["7Networks_LH_Vis_1", "7Networks_RH_Default_PFC_1", "HIP-lh"];
    /// assert_eq!(Place::Network("Default".to_owned()).columns(&names), [1]);
    /// assert_eq!(Place::Region("PFC".to_owned()).columns(&names), [1]);
    /// assert_eq!(Place::Parcels(vec![3, 7]).columns(&names), [2]);
    /// ```
    pub fn columns<T: AsRef<str>>(&self, names: &[T]) -> Vec<usize> {
        let all = 0..names.len();
        match self {
            Self::Parcels(parcels) => {
                all.filter(|column| parcels.contains(&(column + 1))).collect()
            }
            Self::Network(name) => {
                let parcellation = Parcellation::of_names(names);
                let networks = parcellation.networks();
                let of = |column: &usize| parcellation.network_of(*column).map(|it| &networks[it]);
                all.filter(|column| of(column) == Some(name)).collect()
            }
            Self::Region(name) => {
                let is_called =
                    |parcel: &str| parcel == name || parcel.split('_').any(|word| word == name);
                all.filter(|&column| is_called(names[column].as_ref())).collect()
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network {name}"),
            Self::Region(name) => write!(f, "region {name}"),
            Self::Parcels(parcels) => {
                let parcels: Vec<String> = parcels.iter().map(usize::to_string).collect();
                write!(f, "parcels {}", parcels.join(", "))
            }
        }
    }
}
