//! Labels of atlases as their files have them.

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

/// `n` of Schaefer's labels in their order: about as many of each network of each hemisphere.
pub fn schaefer(scheme: usize, n: usize) -> Vec<String> {
    let names: &[&str] = if scheme == 7 { &SEVEN } else { &SEVENTEEN };
    let of = |side: &'static str| {
        let label = move |at: usize| {
            format!("{scheme}Networks_{side}_{}_Part_{at}", names[at * names.len() / (n / 2)])
        };
        (0..n / 2).map(label).collect::<Vec<_>>()
    };
    [of("LH"), of("RH")].concat()
}

/// Fifty labels in the form of Tian's, right first.
pub fn tian() -> Vec<String> {
    let of = |side| (0..25).map(move |n| format!("HIP-part{n}-{side}"));
    of("rh").chain(of("lh")).collect()
}

/// Buckner's seven of the cerebellum.
pub fn buckner() -> Vec<String> {
    (1..=7).map(|network| format!("Network{network}")).collect()
}

/// As many labels as A424 has, on the sides where it has them.
pub fn a424() -> Vec<String> {
    let of = |side: &'static str, n: usize| (0..n).map(move |at| format!("area{at}_{side}"));
    of("R", 180).chain(of("L", 180)).chain(of("R", 32)).chain(of("L", 32)).collect()
}

/// `L` or `R`, or nothing for what lies in the middle.
pub(crate) fn side(label: &str) -> Option<char> {
    let is = |words: [&str; 3]| words.iter().any(|word| label.contains(word));
    if is(["_LH_", "-lh", "_L"]) {
        Some('L')
    } else if is(["_RH_", "-rh", "_R"]) {
        Some('R')
    } else {
        None
    }
}
