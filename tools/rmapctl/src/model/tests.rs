// SPDX-License-Identifier: GPL-2.0

//! Tests of the model.

use super::*;
use crate::scenario::Step;

fn model(lines: &[&str]) -> Model {
    let mut model = Model::new();
    for line in lines {
        model
            .apply(&Step::parse(line).expect("parses"))
            .expect("applies");
    }
    model
}

#[test]
fn all_means_what_is_left() {
    let model = model(&["map main m 8", "unmap main m 1..7/3"]);
    let target = Target {
        process: "main".to_owned(),
        mapping: "m".to_owned(),
        range: Range::All,
    };
    let runs = model.runs(&target).expect("mapped");
    let pairs: Vec<_> = runs.iter().map(|run| (run.first, run.count)).collect();
    assert_eq!(pairs, [(0, 1), (2, 2), (5, 3)]);
}

#[test]
fn a_part_moves_under_its_own_name() {
    let model = model(&[
        "map main m 8",
        "touch main m all write 3",
        "move main m 2..4 to 3 as n",
    ]);
    let moved = &model.mapping("main", "n").expect("is there").pages;
    let values: Vec<_> = moved.iter().map(|page| page.value).collect();
    assert_eq!(values, [Some(3), Some(3), None]);
    let left = &model.mapping("main", "m").expect("is there").pages;
    assert!(!left[2].mapped && !left[3].mapped && left[4].boundary);
}

#[test]
fn a_mapping_without_pages_is_forgotten() {
    let model = model(&["map main m 2", "fork main c", "unmap main m 0..2/1"]);
    assert!(model.mapping("main", "m").is_err());
    assert!(model.mapping("c", "m").is_ok());
}

#[test]
fn a_tree_names_its_processes_level_by_level() {
    let names: Vec<_> = Model::tree("p", 2, 2).into_iter().map(|(_, c)| c).collect();
    assert_eq!(names, ["p.0", "p.1", "p.0.0", "p.0.1", "p.1.0", "p.1.1"]);
}
