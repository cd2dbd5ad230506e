import{e}from"./chunk-AEMJEILJ.js";function p({place:o}){return e("h1",{children:o.page})}export{p as default};
