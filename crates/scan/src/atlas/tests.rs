//! Parcels on small grids whose answers are seen by eye.

use ndarray::{Array3, Array4};

use super::*;
use crate::{
    Affine, Bold, BoldFile,
    nii::testing::{Scratch, fixture},
};

fn diagonal(size: f64, shift: f64) -> Affine {
    let row = |i: usize| {
        std::array::from_fn(|j| match j {
            3 => shift,
            _ if i == j => size,
            _ => 0.0,
        })
    };
    Affine::new([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]).unwrap()
}

fn atlas(labels: Vec<f32>, shape: (usize, usize, usize), affine: Affine) -> Atlas {
    let data = Array3::from_shape_vec(shape, labels).unwrap();
    Atlas::from_volume(&Volume::new(data, affine).unwrap()).unwrap()
}

/// Four voxels along x, two frames.
fn run(values: [f32; 8]) -> Bold {
    let data = Array4::from_shape_vec((4, 1, 1, 2), values.to_vec()).unwrap();
    Bold::new(data, diagonal(2.0, 0.0), 2.0).unwrap()
}

#[test]
fn a_region_is_the_mean_of_its_voxels_and_a_lost_one_is_zero_and_named() {
    // the atlas reaches beyond the run on its right: label 9 has no voxel of it
    let atlas = atlas(vec![3.0, 3.0, 0.0, 5.0, 9.0], (5, 1, 1), diagonal(2.0, 0.0));
    let series = atlas
        .extract(&run([1.0, 2.0, 3.0, 6.0, 7.0, 7.0, 4.0, 8.0]), &ExtractConfig::default(), None)
        .unwrap();
    assert_eq!(series.values, ndarray::array![[2.0, 4.0, 0.0], [4.0, 8.0, 0.0]]);
    assert_eq!(series.lost, [9]);
    assert_eq!(series.parcels[1].label, 5);
    assert_eq!(series.parcels[0].centre_mm, Some([1.0, 0.0, 0.0]));
}

#[test]
fn values_that_are_not_finite_count_as_zero_and_are_left_out_for_the_toolkit() {
    let atlas = atlas(vec![1.0, 1.0, 2.0, 2.0], (4, 1, 1), diagonal(2.0, 0.0));
    let bold = run([8.0, 2.0, f32::NAN, 2.0, f32::NAN, 5.0, f32::NAN, 7.0]);
    let means = atlas.extract(&bold, &ExtractConfig::default(), None).unwrap();
    assert_eq!(means.values, ndarray::array![[4.0, 0.0], [2.0, 6.0]]);
    assert_eq!(means.n_nonfinite_frames, 1);
    // from a file, on another grid and blurred it is said too
    let (scratch, on_labels) = (Scratch::new(), WorkingGrid::Labels);
    let path = scratch.path("nan.nii.gz");
    crate::write_bold(&path, &bold).unwrap();
    let file = BoldFile::open(&path).unwrap();
    assert_eq!(atlas.extract(&file, &ExtractConfig::default(), None).unwrap(), means);
    let blurred = ExtractConfig { smoothing_fwhm_mm: Some([4.0; 3]), ..Default::default() };
    for config in [blurred, ExtractConfig { grid: on_labels, ..Default::default() }] {
        assert_eq!(atlas.extract(&file, &config, None).unwrap().n_nonfinite_frames, 1);
    }
    let compat = ExtractConfig { brainlm_toolkit_compat: true, ..Default::default() };
    let means = atlas.extract(&bold, &compat, None).unwrap();
    assert_eq!(means.values, ndarray::array![[8.0, 0.0], [2.0, 6.0]]);
}

#[test]
fn labels_go_where_their_affine_says_unless_the_toolkit_is_asked() {
    // the same world, first axis stored the other way round
    let mut rows = *diagonal(2.0, 0.0).rows();
    (rows[0][0], rows[0][3]) = (-2.0, 6.0);
    let atlas = atlas(vec![1.0, 1.0, 2.0, 2.0], (4, 1, 1), Affine::new(rows).unwrap());
    let bold = run([1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0]);
    let means = atlas.extract(&bold, &ExtractConfig::default(), None).unwrap();
    assert_eq!(means.values.row(0).to_vec(), [5.0, 1.0]);
    let compat = ExtractConfig { brainlm_toolkit_compat: true, ..Default::default() };
    assert_eq!(atlas.extract(&bold, &compat, None).unwrap().values.row(0).to_vec(), [1.0, 5.0]);
    let other = Bold::new(Array4::zeros((3, 1, 1, 2)), diagonal(2.0, 0.0), 2.0).unwrap();
    let error = atlas.extract(&other, &compat, None).unwrap_err().to_string();
    assert_eq!(error, "scan: grid is [3, 1, 1], expected [4, 1, 1] as in the atlas");
}

#[test]
fn a_mask_takes_voxels_out_of_their_region() {
    let atlas = atlas(vec![1.0, 1.0, 2.0, 2.0], (4, 1, 1), diagonal(2.0, 0.0));
    let mask = Array3::from_shape_vec((4, 1, 1), vec![1.0, 0.0, 0.0, 0.0]).unwrap();
    let mask = Volume::new(mask, diagonal(2.0, 0.0)).unwrap();
    let bold = run([1.0, 2.0, 3.0, 6.0, 7.0, 7.0, 4.0, 8.0]);
    let series = atlas.extract(&bold, &ExtractConfig::default(), Some(&mask)).unwrap();
    assert_eq!(series.values, ndarray::array![[1.0, 0.0], [2.0, 0.0]]);
    assert_eq!(series.lost, [2]);
}

#[test]
fn every_reduction_is_what_its_name_says() {
    let atlas = atlas(vec![1.0; 4], (4, 1, 1), diagonal(2.0, 0.0));
    let bold = run([1.0, 0.0, 3.0, 0.0, 7.0, 0.0, 5.0, 0.0]);
    let expected = [
        (Reduction::Mean, 4.0),
        (Reduction::Median, 4.0),
        (Reduction::Sum, 16.0),
        (Reduction::Minimum, 1.0),
        (Reduction::Maximum, 7.0),
        (Reduction::Variance, 5.0),
        (Reduction::StandardDeviation, 5_f64.sqrt()),
    ];
    for (reduction, expected) in expected {
        let config = ExtractConfig { reduction, ..Default::default() };
        assert_eq!(atlas.extract(&bold, &config, None).unwrap().values[[0, 0]], expected);
    }
}

#[test]
fn a_file_and_the_run_read_from_it_give_the_same_series() {
    let path = fixture("run001/bold_25mm.nii.gz");
    let bold = crate::read_bold(&path).unwrap();
    let mask = crate::read_volume(fixture("masks_25mm/brain.nii.gz")).unwrap();
    let atlas = Atlas::from_volume(&mask).unwrap();
    let config = ExtractConfig { smoothing_fwhm_mm: Some([8.0; 3]), ..Default::default() };
    for config in [ExtractConfig::default(), config] {
        let streamed = atlas.extract(&BoldFile::open(&path).unwrap(), &config, None).unwrap();
        assert_eq!(streamed, atlas.extract(&bold, &config, None).unwrap());
        assert_eq!(streamed.values.dim(), (121, 1));
    }
}

#[test]
fn names_and_coordinates_are_found_in_the_usual_tables() {
    let scratch = Scratch::new();
    let plain = || atlas(vec![1.0, 2.0, 7.0], (3, 1, 1), diagonal(2.0, 0.0));
    let tables = [
        "1\t7Networks_LH_Vis_1\t120\t18\t131\t0\n2\tB\t0\t0\t0\t0\n7\tC\t1\t1\t1\t0\n",
        "7Networks_LH_Vis_1\nB\nC\n",
        "index,name,colour\n1,7Networks_LH_Vis_1,red\n2,B,blue\n7,C,red\n",
        "ROI;LABEL;NAME\n1;x;7Networks_LH_Vis_1\n2;y;B\n7;z;C\n",
        "FAG\t7Networks_LH_Vis_1\t1\r\nBB\tB two\t2\r\nC\tC\t7\r\n",
        "index\tlabels\tmodules\n1\t7Networks_LH_Vis_1\tCER\n2\tB\tCER\n7\tC\tDMN\n",
        "label,roi,name\nx,1,7Networks_LH_Vis_1\ny,2,B\nz,7,C\n",
        "ROI Label,ROI Name,R,A,S\n1,7Networks_LH_Vis_1,-3,4,5\n2,B,0,0,0\n7,C,1,2,3\n",
        "index,label\n1,7Networks_LH_Vis_1\n2,B\n7,C\n",
    ];
    for table in tables {
        let named = plain().with_names(scratch.file("names.txt", table.as_bytes())).unwrap();
        assert_eq!(named.parcels()[0].name, "7Networks_LH_Vis_1", "{table}");
        assert_eq!(named.parcels()[2].label, 7);
    }
    let table = "index name\n1 Left Area 17\n2 Left Hippocampus 220 216 20 0\n7 C 1 2 3\n";
    let other = "1,\"Left Area 17\"\n2,\"Left Hippocampus\"\n7,\"C, right\"\n";
    let last = "Left Area 17 1\nLeft Hippocampus 2\nC 7\n";
    let workbench =
        "Left Area 17\n1 120 18 131 255\nLeft Hippocampus\n2 0 0 0 255\nC\n7 1 2 3 255\n";
    for (table, third) in [(table, "C"), (other, "C, right"), (last, "C"), (workbench, "C")] {
        let named = plain().with_names(scratch.file("names.txt", table.as_bytes())).unwrap();
        let names: Vec<&str> = named.parcels().iter().map(|parcel| &parcel.name[..]).collect();
        assert_eq!(names, ["Left Area 17", "Left Hippocampus", third], "{table}");
    }
    let trees = [
        "<?xml version='1.0'?>\n<atlas><data><label><index>1</index><name>7Networks_LH_Vis_1</name>\
         </label><label><index>7</index><name>C</name></label></data></atlas>",
        "<atlas><header><type>Probabalistic</type></header><data>\
         <label index=\"0\" x=\"48\">7Networks_LH_Vis_1</label><label index=\"6\">C</label></data></atlas>",
        "<atlas><header><type>Label</type></header><data>\
         <label index=\"1\">7Networks_LH_Vis_1</label><label index=\"7\">C</label></data></atlas>",
    ];
    for tree in trees {
        let named = plain().with_names(scratch.file("names.xml", tree.as_bytes())).unwrap();
        assert_eq!(named.parcels()[0].name, "7Networks_LH_Vis_1", "{tree}");
        assert_eq!((named.parcels()[2].label, &named.parcels()[2].name[..]), (7, "C"));
    }
    let bad = plain().with_names(scratch.file("bad.xml", b"<atlas><label/></atlas>")).unwrap_err();
    assert!(bad.to_string().ends_with("expected <label> elements with an index and a name each"));
    let places = ["1\t-3\t4\t5\r\n2\t0\t0\t0\r\n4\t1\t2\t3\r\n", "x,y,z\n-3,4,5\n0,0,0\n1,2,3\n"];
    for (table, n_parcels) in places.into_iter().zip([4, 3]) {
        let placed = plain().with_coordinates(scratch.file("xyz.dat", table.as_bytes())).unwrap();
        assert_eq!(placed.parcels()[0].centre_mm, Some([-3.0, 4.0, 5.0]));
        assert_eq!(placed.n_parcels(), n_parcels);
    }
    let centroids = "ROI Label,ROI Name,R,A,S\n1,V1,-3,4,5\n2,B,0,0,0\n7,C,1,2,3\n";
    let placed = plain().with_coordinates(scratch.file("c.csv", centroids.as_bytes())).unwrap();
    assert_eq!(placed.parcels()[2].centre_mm, Some([1.0, 2.0, 3.0]));
    // the last one found by fuzzing: what was found instead is a line break
    for xml in ["<atlas><label>x</label></atlas>", "<atlas>", "<!DOCTYPE a []><a/>", "<at/\n><"] {
        let error = plain().with_names(scratch.file("bad.xml", xml.as_bytes())).unwrap_err();
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(error.to_string().contains("bad.xml: "), "{error}");
    }
    let bad = plain().with_coordinates(scratch.file("bad.dat", b"1 2\n")).unwrap_err().to_string();
    assert!(bad.ends_with("bad.dat: row 1: expected a label and three coordinates in mm"), "{bad}");
    for uneven in ["1 -3 4 5\n2 0 0\n7 1 2 3\n", "-3 4 5\n2 0 0 0\n1 2 3\n"] {
        let path = scratch.file("bad.dat", uneven.as_bytes());
        let bad = plain().with_coordinates(path).unwrap_err().to_string();
        assert!(bad.ends_with("row 2: expected a label and three coordinates in mm"), "{bad}");
    }
}

#[test]
fn coverage_is_the_share_of_voxels_with_data_and_of_the_field_of_view() {
    // labels 3 and 9 in four voxels each; the run ends after two voxels of label 9
    let labels = vec![3.0, 3.0, 3.0, 3.0, 9.0, 9.0, 9.0, 9.0];
    let wide = atlas(labels, (8, 1, 1), diagonal(2.0, 0.0));
    let data = [[f32::NAN, f32::NAN], [0.0, 0.0], [0.0, 5.0], [4.0, 6.0], [8.0, 2.0], [0.0, 0.0]];
    let data = Array4::from_shape_fn((6, 1, 1, 2), |(x, _, _, t)| data[x][t]);
    let run = Bold::new(data, diagonal(2.0, 0.0), 2.0).unwrap();
    let series = wide.extract(&run, &ExtractConfig::default(), None).unwrap();
    assert_eq!(series.coverage, Some(vec![0.5, 0.25]));
    // voxels without data count as 0, as in nilearn
    assert_eq!(series.values, ndarray::array![[1.0, 4.0], [2.75, 1.0]]);
    let on_labels = ExtractConfig { grid: WorkingGrid::Labels, ..Default::default() };
    assert_eq!(wide.extract(&run, &on_labels, None).unwrap().coverage, Some(vec![0.5, 0.25]));
}

#[test]
fn a_region_of_zeros_or_nan_is_lost_and_a_run_of_nothing_else_refused() {
    let atlas = atlas(vec![1.0, 1.0, 2.0, 2.0], (4, 1, 1), diagonal(2.0, 0.0));
    let nan = f32::NAN;
    let series = atlas
        .extract(&run([1.0, 2.0, 3.0, 6.0, nan, nan, 0.0, 0.0]), &ExtractConfig::default(), None)
        .unwrap();
    assert_eq!((series.lost, series.coverage), (vec![2], Some(vec![1.0, 0.0])));
    assert_eq!(series.n_nonfinite_frames, 0, "outside of the field of view in every frame");
    // smoothing spreads what neighbours have; the lack stays a lack
    let smoothed = ExtractConfig { smoothing_fwhm_mm: Some([4.0; 3]), ..Default::default() };
    let series = atlas.extract(&run([1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0, 0.0]), &smoothed, None);
    let series = series.unwrap();
    assert_eq!((series.lost, series.values.column(1).sum()), (vec![2], 0.0));
    let none = atlas.extract(&run([0.0; 8]), &ExtractConfig::default(), None).unwrap_err();
    assert!(none.to_string().ends_with("is 0 or not finite in all frames"), "{none}");
}

#[test]
fn lists_that_begin_with_the_background_or_count_from_0_are_recognised_by_their_count() {
    let scratch = Scratch::new();
    let plain = || atlas(vec![1.0, 2.0, 7.0], (3, 1, 1), diagonal(2.0, 0.0));
    let names = |text: &str| {
        let named = plain().with_names(scratch.file("names.txt", text.as_bytes()));
        named.map(|it| it.parcels().iter().map(|it| it.name.clone()).collect::<Vec<_>>())
    };
    assert_eq!(names("Background\nA\nB\nC\n").unwrap(), ["A", "B", "C"]);
    assert_eq!(names("name\nA\nB\nC\n").unwrap(), ["A", "B", "C"]);
    let said = names("Background\nA\nB\n").unwrap_err().to_string();
    let expected = "holds names of 2 regions after the background, the atlas has 3 parcels";
    assert!(said.ends_with(expected), "{said}");
    let said = names("A\nB\nC\nD\n").unwrap_err().to_string();
    assert!(said.ends_with("holds names of 4 regions, the atlas has 3 parcels"), "{said}");
    let placed = |text: &str| plain().with_coordinates(scratch.file("xyz.txt", text.as_bytes()));
    let from_0 = placed("0\t1\t0\t0\n1\t2\t0\t0\n2\t3\t0\t0\n").unwrap();
    assert_eq!(from_0.n_parcels(), 3);
    assert_eq!(from_0.parcels()[2].centre_mm, Some([3.0, 0.0, 0.0]));
    let with_0 = "0\t0\t0\t0\n1\t1\t0\t0\n2\t2\t0\t0\n7\t3\t0\t0\n";
    assert_eq!(placed(with_0).unwrap().parcels()[0].centre_mm, Some([1.0, 0.0, 0.0]));
    let said = placed("1 2 3\n4 5 6\n").unwrap_err().to_string();
    assert!(said.ends_with("holds coordinates of 2 regions, the atlas has 3 parcels"), "{said}");
    let read = |n| read_places(&scratch.file("p.txt", b"0 1 0 0\n1 2 0 0\n"), n).map(|it| it[1]);
    assert_eq!(read(2).unwrap(), [2.0, 0.0, 0.0]);
    assert!(read(3).is_err());
}

#[test]
fn images_without_whole_labels_are_refused() {
    let scratch = Scratch::new();
    let data = Array3::from_shape_vec((1, 1, 2), vec![0.0, 1.5]).unwrap();
    let path = scratch.path("half.nii");
    crate::write_volume(&path, &Volume::new(data, diagonal(2.0, 0.0)).unwrap()).unwrap();
    let error = Atlas::read(&path).unwrap_err().to_string();
    assert!(error.ends_with("half.nii: label 1.5 is not a whole number"), "{error}");
    let nothing = Array3::zeros((1, 1, 2));
    crate::write_volume(&path, &Volume::new(nothing, diagonal(2.0, 0.0)).unwrap()).unwrap();
    assert!(Atlas::read(&path).unwrap_err().to_string().ends_with("no label but background"));
}

// nibabel 5.4.2 saves labels 17, 200 and 401 with a uint8 header at a slope of 401 / 255
#[test]
fn labels_that_a_slope_put_beside_whole_numbers_are_rounded() {
    let scratch = Scratch::new();
    let path = scratch.path("sloped.nii");
    let data = Array3::from_shape_vec((1, 1, 4), vec![0.0, 11.0, 127.0, 255.0]).unwrap();
    crate::write_volume(&path, &Volume::new(data, diagonal(2.0, 0.0)).unwrap()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let stored: Vec<u8> = vec![0, 11, 127, 255];
    bytes[70..74].copy_from_slice(&[2, 0, 8, 0]);
    bytes[112..116].copy_from_slice(&(401.0_f32 / 255.0).to_le_bytes());
    bytes.truncate(352);
    bytes.extend(stored);
    std::fs::write(&path, bytes).unwrap();
    let atlas = Atlas::read(&path).unwrap();
    let labels: Vec<i32> = atlas.parcels().iter().map(|parcel| parcel.label).collect();
    assert_eq!(labels, [17, 200, 401]);
}

#[test]
fn of_an_image_of_several_maps_one_is_asked_for() {
    let scratch = Scratch::new();
    let path = scratch.path("maps.nii");
    let data = Array4::from_shape_vec((2, 1, 1, 2), vec![1.0, 5.0, 2.0, 0.0]).unwrap();
    crate::write_bold(&path, &Bold::new(data, diagonal(2.0, 0.0), 2.0).unwrap()).unwrap();
    let labels = |map: Option<MapName>| {
        let atlas = Atlas::read_map(&path, map.as_ref());
        atlas.map(|it| it.parcels().iter().map(|it| it.label).collect::<Vec<_>>())
    };
    assert_eq!(labels(Some(MapName::Number(1))).unwrap(), [1, 2]);
    assert_eq!(labels(Some(MapName::Number(2))).unwrap(), [5]);
    let said = labels(None).unwrap_err().to_string();
    assert!(said.contains("holds 2 maps of labels, expected `map`"), "{said}");
}
