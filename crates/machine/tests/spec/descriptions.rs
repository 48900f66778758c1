//! Descriptions of machines, from files that are laid out in a folder.

use std::path::Path;

use machine::Machine;

use crate::laid_out::root;

fn machine(files: &[(&str, &str)]) -> Machine {
    Machine::read(root(files, &[]).path())
}

#[test]
fn the_name_is_the_hostname_with_disallowed_characters_replaced() {
    let long = "x".repeat(80);
    let wide = "ß".repeat(40);
    for (hostname, name) in [
        ("pc-1\n", "pc-1".to_owned()),
        ("pc-1.example.test\n", "pc-1.example.test".to_owned()),
        ("büro_7", "büro_7".to_owned()),
        ("a b\u{1b}[31m", "a-b--31m".to_owned()),
        ("", "unnamed".to_owned()),
        (&long, "x".repeat(63)),
        (&wide, "ß".repeat(31)),
    ] {
        assert_eq!(machine(&[("proc/sys/kernel/hostname", hostname)]).name.as_str(), name, "{hostname:?}");
    }
}

#[test]
fn the_digest_distinguishes_machine_ids_and_does_not_reveal_them() {
    let id = |id| machine(&[("proc/sys/kernel/hostname", "pc"), ("etc/machine-id", id)]).digest;
    assert_eq!(id("0123456789abcdef0123456789abcdef\n"), id("0123456789abcdef0123456789abcdef"));
    assert_ne!(id("0123456789abcdef0123456789abcdef"), id("0123456789abcdef0123456789abcdee"));
    assert!(!"0123456789abcdef0123456789abcdef".contains(&id("0123456789abcdef0123456789abcdef").to_string()));
}

#[test]
fn without_a_machine_id_the_digest_is_that_of_the_name() {
    let named = |name| machine(&[("proc/sys/kernel/hostname", name)]).digest;
    assert_eq!(named("a"), named("a"));
    assert_ne!(named("a"), named("b"));
}

#[test]
fn a_virtual_machine_is_known_by_its_processor_or_its_firmware() {
    for (path, text, is_virtual) in [
        ("proc/cpuinfo", "processor : 0\nflags\t\t: fpu vme hypervisor lahf_lm\n", true),
        ("proc/cpuinfo", "processor : 0\nflags\t\t: fpu vme lahf_lm\nmodel name : hypervisor\n", false),
        ("sys/class/dmi/id/sys_vendor", "QEMU\n", true),
        ("sys/class/dmi/id/product_name", "Virtual Machine\n", true),
        ("sys/class/dmi/id/product_name", "ThinkPad X1\n", false),
    ] {
        assert_eq!(machine(&[(path, text)]).is_virtual, is_virtual, "{path}: {text:?}");
    }
}

#[test]
fn a_machine_of_which_nothing_can_be_read_still_has_a_name() {
    let machine = Machine::read(Path::new("/no/such/root"));
    assert_eq!((machine.name.as_str(), machine.is_virtual), ("unnamed", false));
}
