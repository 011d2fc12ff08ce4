// Package chart draws lines, stacked bars and strips of counts as SVG, by hand and
// without any dependency: the same input gives the same bytes.
//
// A picture has a title, units at both axes and a legend beside the plot, never
// upon it; names in the legend are cut where they would leave the picture. Colours
// and background follow what the reader prefers, light or dark, by a style sheet
// in the picture. Lines differ by dashes too, and points have marks, for those who
// see no difference between two colours.
//
// An axis is linear or logarithmic; on a logarithmic one there is no zero, so
// points that are not above it are left out.
package chart
