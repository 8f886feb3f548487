// Every word of the page in English and Chinese, and which of them is chosen.

const root = document.documentElement;

export const TEXTS = {
  other: ["中文", "English"], theme: ["light / dark", "浅色 / 深色"],
  lead: ["A trained Transformer that runs in this page: {0} parameters, nothing installed, nothing sent anywhere.", "一个训练好的 Transformer，就在这个页面里运行：{0} 个参数，无需安装，也不向任何地方发送数据。"],
  half: ["Its weights are rounded to half precision (16 bits), so that the page is small.", "为使页面更小，权重已舍入为半精度（16 位）。"],
  trained: ["Trained on: {0}", "训练数据：{0}"],
  translation: ["Type, and it writes", "输入文字，它来写"], "text-generation": ["Type a beginning, and it goes on", "写一个开头，它接着写"],
  "text-classification": ["Type, and it decides", "输入文字，它来判断"], "image-classification": ["Draw, and it decides", "画一画，它来判断"],
  input: ["Input", "输入"], examples: ["Examples", "示例"], placeholder: ["Type something", "在此输入"],
  draw: ["Draw here", "在此绘制"], clear: ["Clear", "清除"], sees: ["what the model sees", "模型看到的"],
  keys: ["With the keyboard: arrow keys move the pen, the space bar sets it down or lifts it.", "键盘：方向键移动画笔，空格键落笔或抬笔。"],
  answer: ["Answer", "输出"], nothing: ["(nothing)", "（空）"], took: ["{0} ms on this device", "在本设备上用时 {0} 毫秒"],
  tooLong: ["This is {0} tokens long; the model was made for at most {1}.", "输入有 {0} 个词元；此模型最多接受 {1} 个。"],
  temperature: ["Temperature", "温度"], draws: ["Draw tokens by their probabilities", "按概率抽取词元"], again: ["Draw again", "重新抽取"], length: ["Tokens to write", "写多少词元"],
  likely: ["What it thought likely", "模型认为可能的结果"],
  likelySteps: ["A column for each token that it wrote, likeliest first. Press another one: it is taken instead, and the model goes on from there.", "每写一个词元一列，按概率从高到低排列。点击别的词元，模型就改写它，并由此继续。"],
  goOn: ["take ‘{0}’ and go on", "改写为“{0}”并继续"], chosen: ["chosen", "已选"], free: ["Let it write by itself", "让模型自己写"], after: ["after {0}", "在 {0} 之后"], end: ["(end)", "（结束）"],
  attention: ["Where it looks", "它在看哪里"],
  attentionHelp: ["Each row is a token that looks, each column one that is looked at; a row adds up to 1. Point at a cell for its value.", "每一行是正在看的词元，每一列是被看的词元；每行之和为 1。指向格子可看到数值。"],
  encoder: ["The input looks at itself", "输入看自己"], stack: ["The text looks at itself", "文本看自己"], patches: ["The patches look at each other", "图块互相看"],
  decoder: ["The output looks back at itself", "输出看自己"], cross: ["The output looks at the input", "输出看输入"],
  sequence: ["Which attention", "哪一种注意力"], layer: ["Layer", "层"], head: ["Head {0}", "头 {0}"],
  tokensHelp: ["Point at a token, or press it, to see what it looks at: the mean of this layer's heads.", "指向或点击一个词元，看它在看什么（取本层各头的平均）。"],
  looking: ["looking", "在看的"], looked: ["looked at", "被看的"],
  cell: ["head {0}: ‘{1}’ gives ‘{2}’ a weight of {3}", "头 {0}：“{1}”给“{2}”的权重是 {3}"],
  image: ["What the chosen patch looks at, on the image", "所选图块在看什么，画在图片上"],
  inside: ["What runs here", "这里运行的是什么"],
  insideHelp: ["The arithmetic is the file model.js, which is in this page: the whole Transformer, written to be read.", "运算都在 model.js 里，它就在本页中：整个 Transformer，写得能读懂。"],
  source: ["{0}: {1} lines", "{0}：{1} 行"], parts: ["Parts of the model", "模型的组成"],
  part: ["part", "部分"], layers: ["layers", "层数"], width: ["width D", "宽度 D"], heads: ["heads H", "头 H"], hidden: ["hidden F", "隐藏层 F"], position: ["position", "位置"], vocabulary: ["outputs V", "输出数 V"],
  encoderPart: ["encoder", "编码器"], decoderPart: ["decoder", "解码器"], stackPart: ["stack", "主体"],
};

export const lang = () => (root.dataset.lang === "zh" ? "zh" : "en");

// say("layer", 3): the words in the language that is chosen.
export function say(key, ...given) {
  const words = TEXTS[key][lang() === "zh" ? 1 : 0];
  return given.reduce((text, x, i) => text.replace(`{${i}}`, () => String(x)), words);
}

const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing */ } };
const dark = matchMedia("(prefers-color-scheme: dark)");

function speak(act) {
  root.lang = lang() === "zh" ? "zh-CN" : "en";
  for (const one of document.querySelectorAll("[data-t]")) one.textContent = say(one.dataset.t);
  act();
}

// `act`: draws the page; called at once, and after each change of language or colours.
export function begin(act) {
  const asked = kept("regard.lang") ?? (root.dataset.lang === "en" && navigator.language.toLowerCase().startsWith("zh") ? "zh" : null);
  if (asked === "en" || asked === "zh") root.dataset.lang = asked;
  if (["light", "dark"].includes(kept("regard.theme"))) root.dataset.theme = kept("regard.theme");
  document.getElementById("lang").addEventListener("click", () => {
    root.dataset.lang = lang() === "zh" ? "en" : "zh";
    keep("regard.lang", lang());
    speak(act);
  });
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" || (root.dataset.theme === "auto" && dark.matches) ? "light" : "dark";
    keep("regard.theme", root.dataset.theme);
    act();
  });
  dark.addEventListener("change", act);
  speak(act);
}
