"""What the board needs to know of head, calibration and recipe: the one list, for both sides.

The host compiles a recipe and a calibration into one signed 32-bit word per entry of `SPEC`;
the board checks checksum and ranges before it measures with them and never measures with
defaults. Packed form: the words, little-endian, then a CRC32 seeded with the hash of the list's
names, so that a blob of another firmware is refused.

    >>> from gauge import config
    >>> words = config.new()
    >>> words[config.D_8NM] = 16_400_000

Units as in `gauge.record`; `_ppm` of a ratio is parts per million; `_c2` is hundredths.
Formulas that use the entries: `gauge.film`, `gauge.judge`, `gauge.standardise`.
"""

from array import array
from binascii import crc32

from micropython import const

# Constants, so that the list below is frozen with the firmware and takes none of its memory
_UM = const(8000)  # 1/8 nm in a micrometre
_BIG = const((1 << 30) - 1)  # no word may reach 2**30: reading it would allocate on the board
_NODES = const(33)  # of every table of corrections

# (name, lowest, highest). Both ends are legal.
_HEAD = (
    ("head_id", 0, _BIG),  # serial number of the head
    ("electrode_mm", 0, 100),  # film that has come counts once it covers so much web
    ("calibration_id", 0, _BIG),  # first 30 bits of the calibration's hash
    ("laser_model", 0, 15),  # index into drivers.optoncdt.MODELS, both lasers
    ("laser_rate_hz", 250, 10_000),
    ("laser_sync", 0, 2),  # 0 own clocks, 1 A master and B slave, 2 the same, alternating
    ("a_latency_us", 0, 20_000),  # from the taking of a distance to its last byte's arrival
    ("b_latency_us", 0, 20_000),
    ("cap_rate", 0, 7),  # AD7746 CAPF code; 0 is 11.0 ms
    ("capdac_code", 0, 127),  # fixed: the same for reference and measurement
    ("capdac_af", 0, 1 << 25),  # what that code takes off, calibrated
    ("cap_gain_ppm", -100_000, 100_000),  # the converter reads (1 + gain) times the truth
    ("cap_offset_af", -2_000_000, 2_000_000),  # and adds this
    ("stray_af", -2_000_000, 2_000_000),  # parallel stray capacitance, removed everywhere
    ("c0_af", 100_000, 1 << 25),  # off-sheet capacitance at calibration, stray removed
    ("gap_8nm", 100 * _UM, 1048 * _UM),  # electrode gap that belongs to c0_af
    ("d_8nm", 0, 900_000_000),  # thickness of a film in the gap plus both laser readings
    ("reference_8nm", 0, 2000 * _UM),  # reference tile in the beams off-sheet; 0: none
    ("d_temp_8nm_per_k", -80_000, 80_000),  # growth of d with frame temperature
    ("gap_temp_8nm_per_k", -80_000, 80_000),  # growth of the gap with frame temperature
    ("frame_ref_mc", -40_000, 125_000),  # frame temperature at calibration
    # passline map: what the tables a_map and b_map add to a laser's reading, by the reading
    ("map_start_8nm", 0, 900_000_000),  # reading that belongs to node 0
    ("map_step_8nm", 0, 1000 * _UM),  # between two nodes; 0: no map
    ("kappa_ppm", -100_000, 100_000),  # scale error of the deficit: (1 + kappa) times the truth
    ("delta_offset_8nm", -10 * _UM, 10 * _UM),  # and this added
    # standard uncertainties that do not show in the scatter of a window
    ("u_thickness_8nm", 0, 20 * _UM),  # thickness, per laser pair, after calibration
    ("u_delta_8nm", 0, 20 * _UM),  # deficit: linearity, scale
    ("u_common_8nm", 0, 20 * _UM),  # frame drift common to D and gap (dt = ddelta)
    ("u_c_af", 0, 100_000),  # noise of one capacitance conversion
    ("u_gap_ppm", 0, 200_000),  # relative uncertainty of the gap
    # standardisation
    ("standard_windows", 4, 1000),  # windows averaged for a new reference
    ("c0_drift_ppm", 10, 500_000),  # refused beyond this change since calibration
    ("d_drift_8nm", 8, 100 * _UM),  # refused beyond this change since calibration
    ("standard_due_s", 1, 10_000_000),
    ("standard_due_mc", 1, 100_000),  # change of frame temperature that makes it due
    ("warm_up_s", 0, 86_400),
    ("off_sheet_8nm", 80, 50 * _UM),  # film is absent when |deficit| is below this
    # calibrated envelope, outside of which a number carries a flag
    ("thickness_min_8nm", 0, 1000 * _UM),
    ("thickness_max_8nm", 0, 1000 * _UM),
    ("porosity_min_ppm", 0, 1_000_000),
    ("porosity_max_ppm", 0, 1_000_000),
    ("passline_max_8nm", 0, 10_000 * _UM),  # web height off the middle: |a - b| / 2
    ("rh_min_ppm", 0, 1_000_000),
    ("rh_max_ppm", 0, 1_000_000),
    ("air_min_mc", -40_000, 125_000),
    ("air_max_mc", -40_000, 125_000),
)
_RECIPE = (
    ("recipe_id", 0, _BIG),  # first 30 bits of the recipe's hash
    ("solid_e6", 1_050_000, 20_000_000),  # permittivity of the solid at 50 %RH, 23 C
    ("solid_rh_ppm", -50_000, 50_000),  # relative change per %RH
    ("solid_t_ppm", -50_000, 50_000),  # relative change per kelvin
    ("structure_ppm", 0, 1_000_000),  # depolarisation parameter L of the mixing law
    ("u_solid_e6", 0, 5_000_000),
    ("u_structure_ppm", 0, 1_000_000),
    ("structure_per_solid_ppm", -4_000_000, 4_000_000),  # dL/d eps_s with which L was fitted
    ("thickness_offset_8nm", -50 * _UM, 50 * _UM),  # added to D - (a + b)
    # known layers on the film, x = 1 - 1/eps of each; S0, S1, S2 are the sums of u(t)**2 times
    # 1, x, x**2. Thickness and porosity are those of the film without them.
    ("porosity_mode", 0, 2),  # POROSITY_*
    ("layers_8nm", 0, 1000 * _UM),  # sum of their thicknesses
    ("layers_delta_8nm", 0, 1000 * _UM),  # and of t x
    ("u_layers_8nm", 0, 100 * _UM),  # sqrt(S0)
    ("u_layers_ratio_ppm", 0, 1_000_000),  # S1 / S0: how much of it is in the deficit, too
    ("u_layers_delta_8nm", 0, 100 * _UM),  # the rest: S2 - S1**2 / S0, permittivities
    ("u95_porosity_limit_ppm", 0, 1_000_000),  # beyond it a porosity is 'not resolvable'
    ("guard_c2", -500, 500),  # limits move inward by this many hundredths of u
    # a lower limit of 0, and an upper one at the top of its range, is not applied
    ("thickness_lolo_8nm", 0, 1000 * _UM),
    ("thickness_lo_8nm", 0, 1000 * _UM),
    ("thickness_hi_8nm", 0, 1000 * _UM),
    ("thickness_hihi_8nm", 0, 1000 * _UM),
    ("porosity_lolo_ppm", 0, 1_000_000),
    ("porosity_lo_ppm", 0, 1_000_000),
    ("porosity_hi_ppm", 0, 1_000_000),
    ("porosity_hihi_ppm", 0, 1_000_000),
    ("permittivity_max_e4", 10_000, 1_000_000),
    ("thickness_deadband_8nm", 0, 100 * _UM),
    ("porosity_deadband_ppm", 0, 500_000),
    ("permittivity_deadband_e4", 0, 100_000),
    ("on_delay", 0, 10_000),  # windows beyond the limit before a flag comes
    ("off_delay", 0, 10_000),  # windows inside the limit before it goes
    ("filter_shift", 0, 8),  # limits are judged on the mean over about 2**shift windows; 0: none
    ("latch_mask", 0, _BIG),  # FLAG_* that stay until acknowledged
    ("reject_mask", 0, _BIG),  # FLAG_* that drop the reject output
    ("marker_mask", 0, _BIG),  # FLAG_* that mark the film
    ("marker_delay_mm", 0, 1_000_000),  # web between head and marker
    ("marker_length_mm", 1, 1_000_000),  # shortest mark
    ("counts_per_m", 1, 10_000_000),  # web encoder
    ("correction_nodes", 0, _NODES),  # 0: no table; else all nodes, over 0..100 % porosity
)
_TABLES = (  # each has _NODES words; the name has a place for the node's number
    ("a_map_%02d_8nm", -100 * _UM, 100 * _UM),
    ("b_map_%02d_8nm", -100 * _UM, 100 * _UM),
    ("correction_%02d_ppm", -500_000, 500_000),
)
N_WORDS = len(_HEAD) + len(_RECIPE) + len(_TABLES) * _NODES
BLOB_BYTES = 4 * N_WORDS + 4


class _Spec:
    """All words, in their order: (name, lowest, highest). Made one by one: nobody keeps them."""

    def __len__(self):
        return N_WORDS

    def __iter__(self):
        for group in (_HEAD, _RECIPE):
            for word in group:
                yield word
        for name, low, high in _TABLES:
            for node in range(_NODES):
                yield name % node, low, high


SPEC = _Spec()

# porosity_mode
POROSITY_MEASURED = 0
POROSITY_NOT_IDENTIFIABLE = 1  # the layers hide it: thickness alone
POROSITY_SHIELDED = 2  # a layer conducts: with film there is next to no capacitance


def _define():
    """Make a constant of every word's index, of a table the first's; return the names' hash."""
    crc, index, comma = 0, 0, ""
    for name, _, _ in SPEC:
        crc = crc32((comma + name).encode(), crc)
        comma = ","
        if index < N_WORDS - len(_TABLES) * _NODES or "_00_" in name:
            globals()[name.upper()] = index
        index += 1
    return crc


NAMES_HASH = _define()


def new():
    """Return an all-zero set of words (which is not a legal configuration)."""
    return array("i", bytes(4 * N_WORDS))


def pack(words):
    """Return the blob of `words`: little-endian words and their seeded CRC32."""
    body = b"".join([(word & 0xFFFFFFFF).to_bytes(4, "little") for word in words])
    return body + crc32(body, NAMES_HASH).to_bytes(4, "little")


def unpack(blob):
    """Return the words of a blob.

    Raises ValueError that names what is wrong: the length, the checksum (damaged, or compiled
    for another firmware), or the first word that is out of range.
    """
    if len(blob) != BLOB_BYTES:
        raise ValueError("configuration has %d bytes, not %d" % (len(blob), BLOB_BYTES))
    body = blob[:-4]
    if crc32(body, NAMES_HASH).to_bytes(4, "little") != bytes(blob[-4:]):
        raise ValueError("configuration checksum is wrong")
    words = array("i", bytes(body))
    for index, (name, low, high) in enumerate(SPEC):
        if not low <= words[index] <= high:
            raise ValueError("%s is %d, not within %d..%d" % (name, words[index], low, high))
    return words
