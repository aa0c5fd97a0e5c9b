//! A colour for every name, the same on every machine and in every run.
//!
//! Knows the 256 colours that terminals share and how well they can be read. Knows no line.

use crate::protocol::text::NameKeys;

/// Colours of the 6 x 6 x 6 cube that can be read on black and on white alike (a test
/// computes it), far enough apart to be told from each other.
const COLOURS: [u8; 12] = [27, 28, 30, 31, 64, 97, 99, 129, 130, 133, 161, 163];

/// The colour of `name`: letter case makes no difference.
pub(super) fn colour(name: &str) -> u8 {
    // FNV-1a: small, and the same everywhere, as the standard library's hashes are not.
    let hash = NameKeys::of(name).folded.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Names that differ in their last letter only: its bits reach the upper half here.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let at = (mixed >> 32) % COLOURS.len() as u64;
    COLOURS[usize::try_from(at).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of a colour of the cube (WCAG 2).
    fn luminance(colour: u8) -> f64 {
        const LEVELS: [f64; 6] = [0.0, 95.0, 135.0, 175.0, 215.0, 255.0];
        let at = usize::from(colour - 16);
        let linear = |level: f64| {
            let part = level / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(LEVELS[at / 36])
            + 0.7152 * linear(LEVELS[at / 6 % 6])
            + 0.0722 * linear(LEVELS[at % 6])
    }

    #[test]
    fn every_colour_can_be_read_on_black_and_on_white() {
        for colour in COLOURS {
            let luminance = luminance(colour);
            let (on_black, on_white) = ((luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05));
            assert!(on_black >= 4.0 && on_white >= 4.0, "{colour}: {on_black} {on_white}");
        }
        // The computation itself: white on black is 21 to 1, by definition.
        assert!((luminance(231) - 1.0).abs() < 1e-9 && luminance(16) < 1e-9);
    }

    #[test]
    fn a_name_keeps_its_colour() {
        // Fixed values: another machine, another run, another version shows the same.
        assert_eq!(
            [colour("ana"), colour("bob"), colour("lior"), colour("dana")],
            [27, 133, 163, 64]
        );
        assert_eq!(colour("Ana"), colour("ana"));
        assert_eq!(colour("STRASSE"), colour("straße"));
        let mut seen: Vec<u8> = (0..200).map(|n| colour(&format!("guest{n}"))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), COLOURS.len(), "every colour is used");
    }
}
