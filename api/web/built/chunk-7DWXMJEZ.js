var n=[],o=new Set;function i(e){n=[...e],o.forEach(t=>t())}function r(){let e=n;return n=[],e}function d(e){return o.add(e),()=>o.delete(e)}export{i as a,r as b,d as c};
