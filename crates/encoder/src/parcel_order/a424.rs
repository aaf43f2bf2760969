//! What the parcels of A424 are called, in their order.
//!
//! Source: the labels of `A424.dlabel.nii` in BrainLM's repository. The areas are those of Glasser et al.
//! 2016, the nuclei those of Fan et al. 2016, the lobules those of Diedrichsen et al. 2009.

/// Areas of a hemisphere; the right one comes first.
const AREAS: &str = "\
    V1 MST V6 V2 V3 V4 V8 4 3b FEF PEF 55b V3A RSC POS2 V7 IPS1 FFC V3B LO1 LO2 PIT MT A1 PSL \
    SFL PCV STV 7Pm 7m POS1 23d v23ab d23ab 31pv 5m 5mv 23c 5L 24dd 24dv 7AL SCEF 6ma 7Am 7PL \
    7PC LIPv VIP MIP 1 2 3a 6d 6mp 6v p24pr 33pr a24pr p32pr a24 d32 8BM p32 10r 47m 8Av 8Ad 9m \
    8BL 9p 10d 8C 44 45 47l a47r 6r IFJa IFJp IFSp IFSa p9-46v 46 a9-46v 9-46d 9a 10v a10p 10pp \
    11l 13l OFC 47s LIPd 6a i6-8 s6-8 43 OP4 OP1 OP2-3 52 RI PFcm PoI2 TA2 FOP4 MI Pir AVI AAIC \
    FOP1 FOP3 FOP2 PFt AIP EC PreS H ProS PeEc STGa PBelt A5 PHA1 PHA3 STSda STSdp STSvp TGd \
    TE1a TE1p TE2a TF TE2p PHT PH TPOJ1 TPOJ2 TPOJ3 DVT PGp IP2 IP1 IP0 PFop PF PFm PGi PGs V6A \
    VMV1 VMV3 PHA2 V4t FST V3CD LO3 VMV2 31pd 31a VVC 25 s32 pOFC PoI1 Ig FOP5 p10p p47r TGv \
    MBelt LBelt A4 STSva TE1m PI a32pr p24";

/// Nuclei, each left, then right.
const NUCLEI: &str = "\
    mAmyg lAmyg rHipp cHipp vCa GP NAC vmPu dCa dlPu mPFtha mPMtha Stha rTtha PPtha Otha cTtha lPFtha";

/// Lobules of the cerebellum: left and right, and from the third on the vermis between them.
const LOBULES: &str = "I-IV V VI Crus_I Crus_II VIIb VIIIa VIIIb IX X";

/// All 424, as the file has them.
pub(super) fn labels() -> Vec<String> {
    let areas = ["R", "L"]
        .into_iter()
        .flat_map(|side| AREAS.split_whitespace().map(move |area| format!("{side}_{area}_ROI")));
    let nuclei = NUCLEI
        .split_whitespace()
        .flat_map(|nucleus| ["L", "R"].map(|side| format!("{nucleus}_{side}")));
    let lobules = LOBULES.split_whitespace().enumerate().flat_map(|(at, lobule)| {
        let parts: &[&str] = if at < 2 { &["Left", "Right"] } else { &["Left", "Vermis", "Right"] };
        parts.iter().map(move |part| format!("{part}_{lobule}"))
    });
    areas.chain(nuclei).chain(lobules).collect()
}

/// A label without what not every table has.
pub(super) fn plain(label: &str) -> &str {
    label.strip_suffix("_ROI").unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    // keys of the file's label table, as nibabel 5.4 reads them
    #[test]
    fn labels_stand_under_the_keys_of_the_file() {
        let labels = labels();
        assert_eq!(labels.len(), 424);
        for (key, label) in [
            (1, "R_V1_ROI"),
            (2, "R_MST_ROI"),
            (83, "R_p9-46v_ROI"),
            (180, "R_p24_ROI"),
            (181, "L_V1_ROI"),
            (360, "L_p24_ROI"),
            (361, "mAmyg_L"),
            (374, "NAC_R"),
            (396, "lPFtha_R"),
            (397, "Left_I-IV"),
            (400, "Right_V"),
            (405, "Vermis_Crus_I"),
            (424, "Right_X"),
        ] {
            assert_eq!(labels[key - 1], label);
        }
    }
}
