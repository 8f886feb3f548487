"use strict";
// Tables that are wider than the page scroll: with the keyboard too.
const reachable = () => document.querySelectorAll(".md-typeset__scrollwrap").forEach((one) => {
  if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
  else one.removeAttribute("tabindex");
});
addEventListener("load", reachable);
addEventListener("resize", reachable);
