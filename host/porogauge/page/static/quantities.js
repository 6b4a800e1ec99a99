// What is shown of a window, in the units that people read; keys as in porogauge.units.decode.

export const QUANTITIES = {
  thickness: { label: "Thickness", unit: "µm", key: "thickness_nm", scale: 1000, digits: 2 },
  porosity: { label: "Porosity", unit: "%", key: "porosity_ppm", scale: 10000, digits: 2 },
  permittivity: { label: "Permittivity", unit: "", key: "permittivity_e4", scale: 10000, digits: 3 },
};

export function valueOf(name, row) {
  const { key, scale } = QUANTITIES[name];
  const value = row?.[key];
  return value == null ? null : value / scale;
}

export function u95Of(name, row) {
  const { key, scale } = QUANTITIES[name];
  const u = row?.[`u_${key}`];
  return u == null ? null : 2 * u / scale;
}

// A state says itself by shape and word, the colour comes on top.
export const STATES = {
  measuring: ["●", "is-good"], off_sheet: ["○", "dim"], warm_up: ["◔", "is-warn"],
  standardising: ["◇", "is-warn"], hold: ["❚❚", "is-warn"], fault: ["▲", "is-bad"],
};
