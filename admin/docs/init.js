// The document is this gateway's own, and nothing else is asked: no
// validator, no fonts, no examples from elsewhere. Keys that are typed in
// stay in the page's memory.
SwaggerUIBundle({
  url: new URL("v1/openapi.json", document.baseURI).href,
  dom_id: "#docs",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  queryConfigEnabled: false,
  presets: [SwaggerUIBundle.presets.apis],
});
