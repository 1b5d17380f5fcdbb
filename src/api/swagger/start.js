"use strict";
// Nothing is kept between visits: what is typed under "Authorize" is a secret.
SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.document,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    // Otherwise the browser would meet a 401 with a window of its own, and send what is typed there to every page.
    request.credentials = "omit";
    return request;
  },
});
